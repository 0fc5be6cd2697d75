// The live machine of machine_view.py: four boxes, labelled arrows, counts, dots that run where something happens.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const NODES = ["guest", "hypervisor", "host", "device"];
const BOX = { width: 129, height: 112, top: 100, gap: 106, left: 9 };
const SIZE = 23, LINE = 23;   // of the words: 14 px where the drawing is 520 pixels wide
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 2 * BOX.left + 4 * BOX.width + 3 * BOX.gap;
const LEVEL = 36;             // how far an arrow over or under the boxes is from them or from the next
const INK = "#222";
// An exit and a passed-through or split path have the colours that they have in the figures (style.py).
const KINDS = {
  exit: { color: "#E69F00", dash: "", rim: true },
  data: { color: "#555", dash: "" },
  interrupt: { color: "#555", dash: "8 6" },
  ring: { color: "#0072B2", dash: "" },
  direct: { color: "#009E73", dash: "" },
};
const SPEED = 150;            // of the dots, in units a second
const TIME = 1600;            // ms until they fade

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent.appendChild(element);
  return element;
}

// Words that are wider than their room, in the font that this computer has, are set narrower.
const ruler = document.createElement("canvas").getContext("2d");

function squeeze(element, text, room, bold = false) {
  ruler.font = `${bold ? "bold " : ""}${SIZE}px ${FONT}`;
  element.textContent = text;
  const narrow = ruler.measureText(text).width > room;
  for (const [name, value] of [["textLength", room], ["lengthAdjust", "spacingAndGlyphs"]]) narrow ? element.setAttribute(name, value) : element.removeAttribute(name);
  return element;
}

const leftOf = (node) => BOX.left + NODES.indexOf(node) * (BOX.width + BOX.gap);

// Where an arrow runs and where its words go.  Neighbours are joined straight,
// forward above backward; others go over the boxes (forward) or under them.
function route(source, target) {
  const steps = NODES.indexOf(target) - NODES.indexOf(source);
  const forward = steps > 0;
  const span = Math.abs(steps);
  if (span === 1) {
    const from = leftOf(source) + (forward ? BOX.width + 3 : -3);
    const to = leftOf(target) + (forward ? -17 : BOX.width + 17);
    const y = BOX.top + (forward ? 76 : 98);
    const x = leftOf(forward ? source : target) + BOX.width + BOX.gap / 2;
    return { path: `M${from} ${y}H${to}`, x, y: forward ? y - 13 : y + 24, up: forward };
  }
  const edge = forward ? BOX.top : BOX.top + BOX.height;
  const level = edge + (forward ? -1 : 1) * LEVEL * (span - 1);
  const x1 = leftOf(source) + BOX.width / 2 + (forward ? -14 : 14) * (span - 1);
  const x2 = leftOf(target) + BOX.width / 2 + (forward ? 14 : -14) * (span - 1);
  return { path: `M${x1} ${edge}V${level}H${x2}V${edge + (forward ? -17 : 17)}`, x: (x1 + x2) / 2, line: level + 7 };
}

function drawArrow(svg, one) {
  const { color, dash, rim } = KINDS[one.kind];
  const place = route(one.source, one.target);
  const group = add(svg, "g", { class: "vmio-edge", "data-edge": `${one.source}-${one.target}` });
  const path = { d: place.path, fill: "none" };
  const line = add(group, "g");
  if (rim) add(line, "path", { ...path, stroke: INK, "stroke-width": 7 });
  add(line, "path", { ...path, stroke: color, "stroke-width": rim ? 5 : 4, "stroke-dasharray": dash, "marker-end": `url(#vmio-head-${one.kind})` });
  const dots = add(group, "path", { ...path, stroke: INK, "stroke-width": 13, "stroke-linecap": "round", opacity: 0, class: "vmio-dots" });
  const halo = { "text-anchor": "middle", stroke: "#fff", "stroke-width": place.line === undefined ? 5 : 0, "paint-order": "stroke", fill: INK, x: place.x };
  const paper = place.line === undefined ? null : add(group, "rect", { y: place.line - 20, height: 27, fill: "#fff" });   // the words stand in the line
  return { group, line, dots, place, paper, words: add(group, "text", halo), room: place.line === undefined ? BOX.gap - 6 : Infinity, count: null, label: null, running: null };
}

// Between neighbours there is room for about nine letters a line; over and under the boxes for all in one.
function write(arrow, label, count) {
  if (arrow.paper) {
    const wide = 0.6 * SIZE * (label.length + count.length + 2);
    arrow.paper.setAttribute("x", arrow.place.x - wide / 2);
    arrow.paper.setAttribute("width", wide);
  }
  if (arrow.label === label) {
    squeeze(arrow.number, count, arrow.room, true);
    return;
  }
  const { words, place } = arrow;
  const lines = place.line === undefined ? label.split(" ").reduce((all, word) => {
    const last = all[all.length - 1];
    return last && `${last} ${word}`.length <= 9 ? [...all.slice(0, -1), `${last} ${word}`] : [...all, word];
  }, []) : [label];
  words.replaceChildren();
  if (place.line !== undefined) {
    words.setAttribute("y", place.line);
    add(words, "tspan", {}, `${label}\u00a0 `);
  } else {
    const first = place.up ? place.y - LINE * lines.length : place.y;
    lines.forEach((text, at) => squeeze(add(words, "tspan", { x: place.x, y: first + LINE * at }), text, arrow.room));
    words.setAttribute("y", first);
  }
  const own = place.line === undefined ? { x: place.x, dy: LINE } : {};
  arrow.number = squeeze(add(words, "tspan", { ...own, class: "vmio-count", "font-weight": "bold" }), count, arrow.room, true);
  arrow.label = label;
}

// Dots run along the arrow, the denser the more digits the count has; a new run takes the place of the old one.
function run(arrow, count) {
  const gap = Math.max(18, 66 / String(count).length), way = gap * Math.round(SPEED * TIME / 1000 / gap);
  arrow.running?.cancel();
  arrow.dots.setAttribute("stroke-dasharray", `0 ${gap}`);
  arrow.running = arrow.dots.animate({ strokeDashoffset: [way, 0], opacity: [1, 1, 1, 0] }, { duration: TIME });
}

function build(el) {
  const root = document.createElement("div");
  root.className = "vmio-machine";
  root.style.cssText = "position:relative;background:#fff;color:#222;max-width:1050px";
  const svg = add(root, "svg", { role: "img", width: "100%", "font-size": SIZE, "font-family": FONT, style: "display:block" });
  const defs = add(svg, "defs");
  for (const [kind, { color, rim }] of Object.entries(KINDS)) {
    const head = add(defs, "marker", { id: `vmio-head-${kind}`, viewBox: "-1 -1 12 12", refX: 1, refY: 5, markerWidth: 18, markerHeight: 18, markerUnits: "userSpaceOnUse", orient: "auto" });
    add(head, "path", { d: "M0 0L10 5L0 10z", fill: color, stroke: rim ? INK : color, "stroke-width": 0.7 });
  }
  const notes = {}, boxes = {};
  for (const node of NODES) {
    const x = leftOf(node), middle = x + BOX.width / 2;
    boxes[node] = add(svg, "rect", { x, y: BOX.top, width: BOX.width, height: BOX.height, rx: 8, fill: "#f4f4f4", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
    squeeze(add(svg, "text", { x: middle, y: BOX.top + 36, "text-anchor": "middle", "font-weight": "bold" }), node, BOX.width - 6, true);
    notes[node] = add(svg, "text", { x: middle, y: BOX.top + 64, "text-anchor": "middle", class: "vmio-note" });
  }
  // The same words for those who hear the page; out of sight, not out of the page.
  const spoken = document.createElement("p");
  spoken.className = "vmio-machine-text";
  spoken.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;margin:0";
  root.appendChild(spoken);
  el.appendChild(root);
  return { svg, spoken, notes, boxes, canaries: add(svg, "g", { class: "vmio-canaries" }), arrows: new Map(), above: 1, below: 1 };
}

// A square for each guest, in the guest's box: a tick while what it keeps secret is as it was.
function drawCanaries(view, canaries) {
  const alive = Object.entries(canaries), wide = Math.min(28, (BOX.width - 8) / Math.max(1, alive.length));
  const start = leftOf("guest") + BOX.width / 2 - wide * alive.length / 2;
  view.canaries.replaceChildren();
  alive.forEach(([name, whole], at) => {
    const square = add(view.canaries, "g", { "data-canary": name, "data-whole": whole });
    add(square, "rect", { x: start + wide * at + 1, y: BOX.top + 77, width: wide - 2, height: 26, rx: 4, fill: whole ? "#fff" : INK, stroke: INK });
    add(square, "text", { x: start + wide * (at + 0.5), y: BOX.top + 97, "text-anchor": "middle", fill: whole ? INK : "#fff" }, whole ? "\u2713" : "\u2717");
  });
}

function update(view, model) {
  const edges = model.get("edges");
  const keyOf = (one) => `${one.source}-${one.target}-${one.kind}`;
  const wanted = new Set(edges.map(keyOf));
  for (const [key, arrow] of view.arrows) {
    if (!wanted.has(key)) {
      arrow.group.remove();
      view.arrows.delete(key);
    }
  }
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const touched = new Set();
  for (const one of edges) {
    if (!view.arrows.has(keyOf(one))) view.arrows.set(keyOf(one), drawArrow(view.svg, one));
    const arrow = view.arrows.get(keyOf(one));
    write(arrow, one.label, one.count.toLocaleString("en-US"));
    arrow.line.setAttribute("opacity", one.count ? 1 : 0.25);
    arrow.words.setAttribute("fill", one.count ? INK : "#767676");
    arrow.group.setAttribute("class", one.count ? "vmio-edge vmio-lit" : "vmio-edge");
    if (one.count) touched.add(one.source).add(one.target);
    if (one.count && one.count !== arrow.count && !still) run(arrow, one.count);
    arrow.count = one.count;
  }
  // Room for the arrows that go over and under the boxes; it never shrinks, so nothing jumps.
  for (const one of edges) {
    const steps = NODES.indexOf(one.target) - NODES.indexOf(one.source);
    view.above = Math.max(view.above, steps);
    view.below = Math.max(view.below, -steps);
  }
  const top = BOX.top - 4 - (view.above > 1 ? LEVEL * (view.above - 1) + 10 : 0);
  const bottom = BOX.top + BOX.height + 4 + (view.below > 1 ? LEVEL * (view.below - 1) + 10 : 0);
  view.svg.setAttribute("viewBox", `0 ${top} ${WIDTH} ${bottom - top}`);
  const notes = model.get("notes");
  for (const node of NODES) {
    squeeze(view.notes[node], notes[node] || "", BOX.width - 6);
    view.boxes[node].setAttribute("fill", touched.has(node) ? "#fff6d6" : "#f4f4f4");
  }
  drawCanaries(view, model.get("canaries"));
  view.svg.setAttribute("aria-label", model.get("text"));
  view.spoken.textContent = model.get("text");
}

export default {
  render({ model, el }) {
    const view = build(el), redraw = () => update(view, model);
    redraw();
    // `text` follows every change of what is drawn, so one message means one drawing.
    model.on("change:text change:notes", redraw);
    return () => model.off("change:text change:notes", redraw);
  },
};
