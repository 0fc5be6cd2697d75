// The live machine of machine_view.py: four boxes, labelled arrows, counts, pulses.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const NODES = ["guest", "hypervisor", "host", "device"];
const BOX = { width: 140, height: 100, top: 100, gap: 126, left: 12 };
const KINDS = {
  exit: { color: "#D55E00", dash: "" },
  data: { color: "#0072B2", dash: "" },
  interrupt: { color: "#A0508A", dash: "7 5" },
  direct: { color: "#009E73", dash: "" },
};

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent.appendChild(element);
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
    const from = leftOf(source) + (forward ? BOX.width + 2 : -2);
    const to = leftOf(target) + (forward ? -10 : BOX.width + 10);
    const y = BOX.top + (forward ? 40 : 62);
    return { path: `M${from} ${y}H${to}`, x: (from + to) / 2, label: forward ? y - 26 : y + 20, count: forward ? y - 9 : y + 37 };
  }
  const edge = forward ? BOX.top : BOX.top + BOX.height;
  const level = forward ? edge - 38 * (span - 1) + 4 : edge + 38 * (span - 1) - 4;
  const x1 = leftOf(source) + BOX.width / 2 + (forward ? -14 : 14) * (span - 1);
  const x2 = leftOf(target) + BOX.width / 2 + (forward ? 14 : -14) * (span - 1);
  return { path: `M${x1} ${edge}V${level}H${x2}V${edge + (forward ? -10 : 10)}`, x: (x1 + x2) / 2, line: level + (forward ? -7 : 18) };
}

function drawArrow(svg, one, index) {
  const { color, dash } = KINDS[one.kind];
  const place = route(one.source, one.target);
  const group = add(svg, "g", { class: "vmio-edge", "data-edge": `${one.source}-${one.target}` });
  const marker = `vmio-head-${one.kind}`;
  add(group, "path", { d: place.path, fill: "none", stroke: color, "stroke-width": 3, "stroke-dasharray": dash, "marker-end": `url(#${marker})` });
  const halo = { "text-anchor": "middle", stroke: "#fff", "stroke-width": 5, "paint-order": "stroke", fill: "#222" };
  let label, count;
  if (place.line !== undefined) {
    const text = add(group, "text", { ...halo, x: place.x, y: place.line });
    label = add(text, "tspan");
    count = add(text, "tspan", { class: "vmio-count", "font-weight": "bold", dx: 8 });
  } else {
    label = add(group, "text", { ...halo, x: place.x, y: place.label, "font-size": 14 });
    count = add(group, "text", { ...halo, x: place.x, y: place.count, class: "vmio-count", "font-weight": "bold" });
  }
  const pulse = add(group, "circle", { r: 7, fill: color, opacity: 0 });
  const timing = { dur: "0.6s", begin: "indefinite", fill: "remove" };
  const motion = add(pulse, "animateMotion", { ...timing, path: place.path });
  const glow = add(pulse, "animate", { ...timing, attributeName: "opacity", values: "1;1;0" });
  return { group, label, count, motion, glow, index, last: null };
}

function build(el, model) {
  const root = document.createElement("div");
  root.className = "vmio-machine";
  root.style.cssText = "background:#fff;color:#222;padding:8px;border-radius:4px;max-width:980px";
  const svg = add(root, "svg", { role: "img", width: "100%", "font-size": 16, "font-family": "'DejaVu Sans', Verdana, sans-serif" });
  const defs = add(svg, "defs");
  for (const [kind, { color }] of Object.entries(KINDS)) {
    const head = add(defs, "marker", { id: `vmio-head-${kind}`, viewBox: "0 0 10 10", refX: 2, refY: 5, markerWidth: 4, markerHeight: 4, orient: "auto" });
    add(head, "path", { d: "M0 0L10 5L0 10z", fill: color });
  }
  const notes = {};
  const boxes = {};
  for (const node of NODES) {
    const x = leftOf(node);
    boxes[node] = add(svg, "rect", { x, y: BOX.top, width: BOX.width, height: BOX.height, rx: 8, fill: "#f4f4f4", stroke: "#222", "stroke-width": 1.5 });
    add(svg, "text", { x: x + BOX.width / 2, y: BOX.top + 46, "text-anchor": "middle", "font-weight": "bold", "font-size": 18 }, node);
    notes[node] = add(svg, "text", { x: x + BOX.width / 2, y: BOX.top + 72, "text-anchor": "middle", "font-size": 14, class: "vmio-note" });
  }
  // The same words for those who hear the page; out of sight, not out of the page.
  const spoken = document.createElement("p");
  spoken.className = "vmio-machine-text";
  spoken.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;margin:0";
  root.style.position = "relative";
  root.appendChild(spoken);
  el.appendChild(root);
  return { svg, spoken, notes, boxes, arrows: new Map(), above: 1, below: 1 };
}

function update(view, model) {
  const edges = model.get("edges");
  const wanted = new Set(edges.map((one) => `${one.source}-${one.target}-${one.kind}`));
  for (const [key, arrow] of view.arrows) {
    if (!wanted.has(key)) {
      arrow.group.remove();
      view.arrows.delete(key);
    }
  }
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const touched = new Set();
  edges.forEach((one, index) => {
    const key = `${one.source}-${one.target}-${one.kind}`;
    if (!view.arrows.has(key)) view.arrows.set(key, drawArrow(view.svg, one, index));
    const arrow = view.arrows.get(key);
    arrow.label.textContent = one.label;
    arrow.count.textContent = one.count.toLocaleString("en-US");
    arrow.group.setAttribute("opacity", one.count ? 1 : 0.25);
    arrow.group.setAttribute("class", one.count ? "vmio-edge vmio-lit" : "vmio-edge");
    if (one.count) touched.add(one.source).add(one.target);
    if (one.count && arrow.last !== null && one.count !== arrow.last && !still) {
      arrow.motion.beginElementAt(index * 0.15);
      arrow.glow.beginElementAt(index * 0.15);
    }
    arrow.last = one.count;
  });
  // Room for the arrows that go over and under the boxes; it never shrinks, so nothing jumps.
  for (const one of edges) {
    const steps = NODES.indexOf(one.target) - NODES.indexOf(one.source);
    view.above = Math.max(view.above, steps);
    view.below = Math.max(view.below, -steps);
  }
  const top = BOX.top - 6 - (view.above > 1 ? 38 * (view.above - 1) + 14 : 0);
  const bottom = BOX.top + BOX.height + 6 + (view.below > 1 ? 38 * (view.below - 1) + 18 : 0);
  view.svg.setAttribute("viewBox", `0 ${top} 962 ${bottom - top}`);
  const notes = model.get("notes");
  for (const node of NODES) {
    view.notes[node].textContent = notes[node] || "";
    view.boxes[node].setAttribute("fill", touched.has(node) ? "#fff6d6" : "#f4f4f4");
  }
  view.svg.setAttribute("aria-label", model.get("text"));
  view.spoken.textContent = model.get("text");
}

export default {
  render({ model, el }) {
    const view = build(el, model);
    const redraw = () => update(view, model);
    redraw();
    // `text` follows every change of edges and title, so one message means one drawing.
    model.on("change:text change:notes", redraw);
    return () => model.off("change:text change:notes", redraw);
  },
};
