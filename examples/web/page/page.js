// The page: a file and options in, the report out.
import { cancel, measure, missing } from "./engine.js";

const $ = (id) => document.getElementById(id);
const show = (id, text) => {
  $(id).textContent = text ?? "";
  $(id).hidden = text === null;
};

let chosen = null;

const choose = (file) => {
  if (!file) return;
  show("problem", null);
  if (!file.name.toLowerCase().endsWith(".npy")) {
    show("problem", `${file.name} is no .npy file. Save the activations with numpy.save, or use the command line for other formats.`);
    return;
  }
  chosen = file;
  $("chosen").textContent = file.name;
  $("shape").textContent = `${(file.size / 1e6).toFixed(1)} MB`;
  $("run").disabled = false;
};

const work = (on) => {
  for (const id of ["file", "k", "kernel", "queries", "demo"]) $(id).disabled = on;
  $("run").disabled = on || !chosen;
  $("stop").hidden = !on;
  $("working").hidden = !on;
  $("bar").removeAttribute("value");
  $("stage").textContent = "starting";
};

const tell = (message, isFile) => {
  if (message.kind === "progress") {
    $("bar").value = message.share;
    $("stage").textContent = message.stage;
  } else if (message.kind === "input" && isFile) {
    $("shape").textContent = message.words;
  }
};

let addresses = [];
const address = (text, type) => {
  const made = URL.createObjectURL(new Blob([text], { type }));
  addresses.push(made);
  return made;
};

const present = ({ results, report, seconds }) => {
  addresses.forEach(URL.revokeObjectURL);
  addresses = [];
  $("done").textContent = `Computed in ${seconds.toFixed(1)} s on this computer.`;
  $("json").href = address(results, "application/json");
  $("html").href = address(report, "text/html");
  $("report").src = $("html").href;
  $("found").hidden = false;
};

const run = async (file) => {
  show("problem", null);
  $("found").hidden = true;
  work(true);
  try {
    const options = { k: $("k").valueAsNumber, kernel: $("kernel").value, queries: $("queries").valueAsNumber };
    const bytes = file && (await file.arrayBuffer());
    const name = file && file.name.replace(/\.npy$/i, "");
    const outcome = await measure(bytes, name, options, (message) => tell(message, Boolean(file)));
    if (outcome.kind === "done") present(outcome);
    if (outcome.kind === "failed") show("problem", outcome.why);
  } catch (error) {
    show("problem", `The file cannot be read: ${error.message}`);
  } finally {
    work(false);
  }
};

$("file").addEventListener("change", () => choose($("file").files[0]));
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(chosen);
});
$("demo").addEventListener("click", () => $("form").reportValidity() && run(null));
$("stop").addEventListener("click", cancel);
const over = (on) => (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", on);
};
addEventListener("dragover", over(true));
addEventListener("dragleave", over(false));
addEventListener("drop", (event) => {
  over(false)(event);
  if (!$("file").disabled) choose(event.dataTransfer.files[0]);
});

const why = await missing();
show("missing", why);
if (why) for (const id of ["file", "run", "demo"]) $(id).disabled = true;
document.body.dataset.ready = "true";
