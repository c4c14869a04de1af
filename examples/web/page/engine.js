// The library, for pages: `missing` says what the browser lacks, `measure` runs a job.

// What this browser cannot do, in a sentence; null where it can do everything.
export const missing = async () => {
  if (!("gpu" in navigator)) {
    return isSecureContext
      ? "This browser has no WebGPU. Chrome or Edge 137 or later has it."
      : "Browsers offer WebGPU to pages from https:// or from localhost only.";
  }
  if (!("Suspending" in WebAssembly)) {
    return "This browser cannot suspend WebAssembly (JavaScript Promise Integration). Chrome or Edge 137 or later can.";
  }
  if (!(await navigator.gpu.requestAdapter())) {
    return "This browser has WebGPU but offers no adapter: its graphics acceleration may be off, or the driver may be on its block list.";
  }
  return null;
};

let worker = null;
let running = null;

// Ends what runs, if anything does.
export const cancel = () => {
  worker?.terminate();
  worker = null;
  running?.({ kind: "cancelled" });
};

// Runs a job and returns { kind: "done", results, report, arrays, seconds }, { kind: "failed", why } or
// { kind: "cancelled" }. `bytes` is an ArrayBuffer, which is given away, or null for the demo. `tell` is called with
// { kind: "input", words } and { kind: "progress", stage, share }.
export const measure = (bytes, name, options, tell = () => {}) =>
  new Promise((resolve) => {
    worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    running = (outcome) => {
      running = null;
      resolve(outcome);
    };
    worker.onmessage = ({ data }) => {
      if (data.broken) cancelQuietly();
      if (["done", "failed"].includes(data.kind)) running?.(data);
      else tell(data);
    };
    worker.onerror = (event) => {
      cancelQuietly();
      running?.({ kind: "failed", why: `the program does not load: ${event.message ?? "see the browser's console"}` });
    };
    worker.postMessage({ bytes, name, options }, bytes ? [bytes] : []);
  });

const cancelQuietly = () => {
  worker?.terminate();
  worker = null;
};
