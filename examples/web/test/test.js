// Runs in a browser that `run.py` starts, and posts what it finds; `run.py` judges it.
import { cancel, measure, missing } from "../engine.js";

const post = (name, value) => fetch("/found/" + name, { method: "POST", body: JSON.stringify(value) });
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Every kernel that usual sizes lead to, given to the browser's WGSL compiler and its driver. Returns what they refuse.
const compile = async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const { maxStorageBuffersPerShaderStage } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxStorageBuffersPerShaderStage } });
  const kernels = await (await fetch("/shaders.json")).json();
  const refused = [];
  for (const { entry, variant, text, read_only } of kernels) {
    const code = device.createShaderModule({ code: text });
    const { messages } = await code.getCompilationInfo();
    const errors = messages.filter((m) => m.type === "error").map((m) => `line ${m.lineNum}: ${m.message}`);
    const types = ["uniform", ...read_only.map((only) => (only ? "read-only-storage" : "storage"))];
    const entries = types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } }));
    if (errors.length === 0) {
      device.pushErrorScope("validation");
      const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
      const made = device.createComputePipelineAsync({ layout, compute: { module: code, entryPoint: entry } });
      await made.catch((e) => errors.push(e.message));
      const error = await device.popErrorScope();
      if (error) errors.push(error.message);
    }
    if (errors.length > 0) refused.push({ kernel: `${entry} ${variant}`, errors });
  }
  device.destroy();
  return { compiled: kernels.length, refused };
};

const measured = async ({ file, options }) => {
  const bytes = await (await fetch("/inputs/" + file)).arrayBuffer();
  const told = [];
  const outcome = await measure(bytes, file.replace(/\.npy$/, ""), options, (message) => told.push(message));
  if (outcome.kind !== "done") return outcome;
  const arrays = Object.fromEntries(Object.entries(outcome.arrays).map(([name, values]) => [name, [...values]]));
  return { ...outcome, arrays, report: outcome.report.length, shares: told.filter((m) => m.share).length };
};

// The page as its visitors use it: the demo, and a file that is none.
const visit = async () => {
  const frame = document.createElement("iframe");
  frame.style.cssText = "width: 1200px; height: 900px";
  frame.src = "../index.html";
  document.body.append(frame);
  await new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  const page = frame.contentDocument;
  while (!page.body.dataset.ready) await wait(20);
  const give = (file) => {
    const files = new frame.contentWindow.DataTransfer();
    files.items.add(file);
    page.getElementById("file").files = files.files;
    page.getElementById("file").dispatchEvent(new frame.contentWindow.Event("change"));
  };
  const settled = async () => {
    await wait(50);
    while (!page.getElementById("working").hidden) await wait(20);
    const problem = page.getElementById("problem");
    return problem.hidden ? null : problem.textContent;
  };
  const press = (id) => page.getElementById(id).click();
  give(new frame.contentWindow.File(["PK\u0003\u0004"], "model.pt"));
  const wrongName = await settled();
  give(new frame.contentWindow.File(["not an array"], "text.npy"));
  press("run");
  const wrongContent = await settled();
  // Little work: a software adapter takes its time.
  page.getElementById("k").value = 8;
  page.getElementById("queries").value = 60;
  const start = performance.now();
  press("demo");
  const demo = await settled();
  const seconds = (performance.now() - start) / 1000;
  const report = page.getElementById("report");
  let maps = 0;
  for (let tries = 0; demo === null && maps === 0 && tries < 500; tries++) {
    await wait(20);
    maps = report.contentDocument.querySelectorAll("canvas.map").length;
  }
  const title = report.contentDocument?.title;
  const layers = demo === null ? await (await fetch(page.getElementById("json").href)).json() : null;
  frame.remove();
  return { wrongName, wrongContent, demo, seconds, maps, title, layers: layers?.redundancy.layers };
};

const attempt = async (name, work) => {
  try {
    await post(name, await work());
  } catch (error) {
    await post(name, { kind: "failed", why: `${error}\n${error.stack}` });
  }
};

const why = await missing();
if (why) {
  await post("missing", why);
} else {
  await attempt("shaders", compile);
  for (const job of await (await fetch("/jobs.json")).json()) await attempt("job-" + job.file, () => measured(job));
  cancel();
  await attempt("page", visit);
}
await post("end", null);
