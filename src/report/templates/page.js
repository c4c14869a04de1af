// Finds the figures, draws the first at once and each other when it comes near the screen, and again when theme
// or width change.
const configs = JSON.parse(document.getElementById("figures").textContent);
const kinds = { heatmap, chart, tiles, cards };
const live = new Map();

// Tells the other figures of the same layer which channel the reader points at.
const pick = (box, channel) => {
  const card = box.closest("article");
  for (const [other, figure] of live) if (other !== box && card && card.contains(other)) figure.pick(channel);
};

const start = (box) => {
  if (live.has(box)) return;
  const fig = configs[Number(box.dataset.figure)];
  const figure = kinds[fig.kind](box, fig);
  live.set(box, figure);
  figure.paint();
  box.insertBefore(figureButtons(box, fig, figure), box.querySelector(".cut"));
  new ResizeObserver(() => figure.resize()).observe(box);
};

const boxes = [...document.querySelectorAll("[data-figure]")];
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) {
    near.unobserve(entry.target);
    start(entry.target);
  }
}, { rootMargin: "800px" });
// At once, so that pictures and prints of the page that never scroll or wait hold them too; the rest of a deep
// network's figures would keep the reader waiting.
const AT_ONCE = 64;
boxes.forEach((box, i) => (i < AT_ONCE ? start(box) : near.observe(box)));

document.querySelectorAll("table").forEach(tableButton);

const repaint = () => live.forEach((figure) => figure.paint());
for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", repaint);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details.made").forEach((details) => (details.open = true));
  boxes.forEach(start);
});
addEventListener("scroll", () => tip.hide(), { passive: true });
