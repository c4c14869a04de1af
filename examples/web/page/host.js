// What the library tells while it runs, passed on to the page.
let told = 0;

export const progress = (stage, share) => {
  const now = performance.now();
  if (share < 1 && now - told < 50) return;
  told = now;
  postMessage({ kind: "progress", stage, share });
};

// The call that panicked fails with a bare RuntimeError: this says why.
export const panic = { message: null };
export const panicked = (message) => {
  panic.message = message;
};
