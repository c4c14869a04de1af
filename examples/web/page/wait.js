// How a call into WebAssembly waits for the device: `sleep` suspends it, and the browser goes on with other things until
// a callback calls `wake`. There is one call at a time.
let woken = false;
let resume = null;

export const sleep = new WebAssembly.Suspending(async () => {
  if (!woken) await new Promise((resolve) => (resume = resolve));
  woken = false;
  resume = null;
});

export const wake = () => {
  woken = true;
  resume?.();
};
