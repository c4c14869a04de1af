// Runs the library, on a thread of its own so that the page stays alive while the library works on the host.
import init, * as library from "./chanscope_web.js";
import { panic } from "./host.js";

const ready = init().then((exports) => WebAssembly.promising(exports.compute));

const run = async ({ bytes, name, options }) => {
  const compute = await ready;
  const words = bytes ? library.open_npy(new Uint8Array(bytes), name) : library.open_demo();
  postMessage({ kind: "input", words });
  library.set_options(options.k, options.kernel === "cosine", options.queries);
  const start = performance.now();
  if (!(await compute())) return { kind: "failed", why: library.failure() };
  const names = library.array_names().split("\n").filter(Boolean);
  return {
    kind: "done",
    seconds: (performance.now() - start) / 1000,
    results: library.results(),
    report: library.report(),
    arrays: Object.fromEntries(names.map((array) => [array, library.array(array)])),
  };
};

onmessage = async ({ data }) => {
  try {
    postMessage(await run(data));
  } catch (error) {
    // A refused file comes as text. Anything else is a defect, and the worker is of no use afterwards.
    const refused = typeof error === "string";
    postMessage({ kind: "failed", why: refused ? error : `internal error: ${panic.message ?? error}`, broken: !refused });
  }
};
