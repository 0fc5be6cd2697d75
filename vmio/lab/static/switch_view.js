// The switch of switch_view.py: stations in a row, below them the switch, two arrows for each; the last frame's way through it.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, SIZE = 17, INK = "#222";
const BOX = { top: 4, wide: 176, high: 38 };                // a station
const BAR = { left: 4, top: 126, high: 84, way: 145 };      // the switch, and how far down in it frames run
const REACH = 74;                                           // of an arrow from its station's middle
const END = 240, HEIGHT = 250;
// Of the scheme in palette.py: a frame's way is blue; a copy is purple, and dashed; what is dropped ends at a bar.
const LOOK = {
  quiet: { stroke: "#bbb", "stroke-width": 2 },
  now: { stroke: "#0072B2", "stroke-width": 5 },
  copy: { stroke: "#882255", "stroke-width": 4, "stroke-dasharray": "9 5" },
  stopped: { stroke: "#D55E00", "stroke-width": 5 },
};

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

const ruler = document.createElement("canvas").getContext("2d");

// Words that are wider than their room, in the font that this computer has, are set narrower.
function say(parent, x, y, text, room, more = {}) {
  ruler.font = `${more["font-weight"] === "bold" ? "bold " : ""}${SIZE}px ${FONT}`;
  const narrow = ruler.measureText(text).width > room ? { textLength: room, lengthAdjust: "spacingAndGlyphs" } : {};
  return add(parent, "text", { x, y, ...narrow, ...more }, text);
}

function line(parent, d, kind, head) {
  add(parent, "path", { d, fill: "none", ...LOOK[kind], ...(head ? { "marker-end": `url(#vmio-switch-${kind})` } : {}) });
}

function update(view, model) {
  const { svg } = view, stations = model.get("stations"), edges = model.get("edges");
  const notes = model.get("notes"), learned = model.get("learned");
  svg.replaceChildren();
  const defs = add(svg, "defs");
  for (const [kind, { stroke }] of Object.entries(LOOK)) {
    const head = add(defs, "marker", { id: `vmio-switch-${kind}`, viewBox: "0 0 10 10", refX: 1, refY: 5, markerWidth: 15, markerHeight: 15, markerUnits: "userSpaceOnUse", orient: "auto" });
    add(head, "path", { d: "M0 0L10 5L0 10z", fill: stroke });
  }
  add(svg, "rect", { x: BAR.left, y: BAR.top, width: WIDTH - 2 * BAR.left, height: BAR.high, rx: 8, fill: "#f4f4f4", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
  const column = WIDTH / stations.length, middle = (name) => column * (stations.indexOf(name) + 0.5), under = BOX.top + BOX.high;
  const sender = edges.find((one) => one.label === "sent" && one.kind === "now");
  for (const one of edges) {
    const sends = one.label === "sent", x = middle(sends ? one.source : one.target) + (sends ? -REACH : REACH);
    const group = add(svg, "g", { class: "vmio-edge", "data-edge": `${one.source}-${one.target}`, "data-kind": one.kind });
    if (one.kind === "stopped") {
      line(group, `M${x} ${under + 2}V${BAR.top - 8}`, one.kind, false);
      add(group, "path", { d: `M${x - 15} ${BAR.top - 5}H${x + 15}`, stroke: INK, "stroke-width": 6 });
    } else if (one.kind === "quiet" || sends) {
      line(group, sends ? `M${x} ${under + 2}V${BAR.top - 17}` : `M${x} ${BAR.top}V${under + 17}`, one.kind, true);
    } else {
      const from = sender ? middle(sender.source) - REACH : x;       // through the switch, from where the frame came in
      line(group, `M${from} ${BAR.top - 4}V${BAR.way}H${x}V${under + 17}`, one.kind, true);
    }
  }
  for (const name of stations) {
    const x = middle(name), busy = edges.some((one) => one.kind !== "quiet" && (one.source === name || one.target === name));
    add(svg, "rect", { x: x - BOX.wide / 2, y: BOX.top, width: BOX.wide, height: BOX.high, rx: 8, fill: busy ? "#fff6d6" : "#fff", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
    say(svg, x, BOX.top + 25, name, BOX.wide - 8, { "text-anchor": "middle", "font-weight": "bold" });
    for (const one of edges.filter((each) => each.source === name || each.target === name)) {
      const sends = one.label === "sent", look = { "text-anchor": sends ? "start" : "end", ...(one.kind === "quiet" ? {} : { "font-weight": "bold" }) };
      say(svg, x + (sends ? 14 - REACH : REACH - 14), sends ? under + 27 : under + 53, `${one.label} ${one.count.toLocaleString("en-US")}`, 2 * REACH - 30, { ...look, class: "vmio-count" });
    }
    say(svg, x, BAR.top + 47, notes[name] || "", column - 12, { "text-anchor": "middle" });
    say(svg, x, BAR.top + 71, learned[name] || "", column - 12, { "text-anchor": "middle", "font-weight": "bold" });
  }
  say(svg, WIDTH / 2, END, model.get("end"), WIDTH - 12, { "text-anchor": "middle", "font-weight": "bold", class: "vmio-end-words" });
  svg.setAttribute("aria-label", model.get("text"));
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const root = document.createElement("div");
    root.className = "vmio-switch";
    el.append(root);
    const svg = add(root, "svg", { role: "img", width: "100%", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const redraw = () => update({ svg }, model);
    redraw();
    model.on("change:text", redraw);
    return () => model.off("change:text", redraw);
  },
};
