// The drawing of reach_view.py: a row for each thing, a column for each way, a ring for each attempt that was held off, a cross for each that came there.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, HEIGHT = 292, SIZE = 16, HEAD = 24, ROW = 21, GAP = 4;
const NAMES = 208, WHOSE = 100, PAD = 10, SIGN = 17;      // where columns begin, where things' names do; room beside signs, of a sign
const INK = "#222", PALE = "#767676", HARM = "#9E1B32";

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

// A ring, or a cross; whoever points at it reads which attempt it is.
function drawSign(parent, x, y, one) {
  const sign = add(parent, "g", { class: "vmio-sign", "data-id": one.id, "data-how": one.how });
  if (one.how) add(sign, "path", { d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`, stroke: HARM, "stroke-width": 3.6, fill: "none" });
  else add(sign, "circle", { cx: x, cy: y, r: 5, fill: "#fff", stroke: PALE, "stroke-width": 1.8 });
  if (one.id) add(sign, "title", {}, one.how ? `${one.id}: ${one.how}` : one.id);
}

// As wide as its fullest field needs; what is left is shared.  A column never gets narrower: nothing jumps while attempts come in.
function columns(view, drawn) {
  const most = drawn.ways.map((_, n) => Math.max(4, view.most?.[n] ?? 0, ...drawn.guests.flatMap((guest) => guest.places.map((place) => place.fields[n].length))));
  view.most = most;
  const room = WIDTH - NAMES - 4 - 2 * PAD * most.length, all = most.reduce((sum, one) => sum + one, 0);
  const sign = Math.min(SIGN, room / all), spare = (room - sign * all) / most.length;
  let x = NAMES;
  return most.map((one) => {
    const column = { x, wide: one * sign + 2 * PAD + spare, sign };
    x += column.wide;
    return column;
  });
}

function update(view, model) {
  const drawn = model.get("reach"), { svg } = view;
  svg.replaceChildren();
  if (!drawn.ways) return;
  const found = columns(view, drawn);
  drawSign(svg, 12, HEAD - 9, { id: "", how: "" });
  add(svg, "text", { x: 24, y: HEAD - 4 }, "held off");
  drawSign(svg, 100, HEAD - 9, { id: "", how: "key" });
  add(svg, "text", { x: 112, y: HEAD - 4 }, "came there");
  drawn.ways.forEach((way, n) => add(svg, "text", { x: found[n].x + PAD, y: HEAD - 4, "font-weight": "bold" }, way));
  let y = HEAD;
  for (const guest of drawn.guests) {
    const high = ROW * guest.places.length + 2;
    add(svg, "rect", { x: 2, y, width: WIDTH - 4, height: high, rx: 6, fill: "#f4f4f4", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
    add(svg, "text", { x: 8, y: y + high / 2 + 5.5, "font-weight": "bold" }, guest.name);
    guest.places.forEach((place, row) => {
      const top = y + 1 + ROW * row, group = add(svg, "g", { class: "vmio-row", "data-place": `${guest.name} ${place.name}`, "data-here": place.here });
      add(group, "rect", { x: WHOSE, y: top + 1, width: WIDTH - WHOSE - 6, height: ROW - 2, rx: 4, fill: place.here ? "#fff6d6" : "#fff", stroke: place.here ? INK : "#ddd", "stroke-width": place.here ? 2.5 : 1 });
      add(group, "text", { x: WHOSE + 8, y: top + 16, ...(place.here ? { "font-weight": "bold" } : {}) }, place.name);
      place.fields.forEach((field, n) => field.forEach((one, at) => drawSign(group, found[n].x + PAD + found[n].sign * (at + 0.5), top + ROW / 2, one)));
    });
    y += high + GAP;
  }
  for (const { x } of found) add(svg, "line", { x1: x + 1, x2: x + 1, y1: HEAD + 2, y2: y - GAP - 2, stroke: PALE, "stroke-width": 1, "stroke-dasharray": "2 3" });
  svg.setAttribute("aria-label", model.get("text"));
  view.list.replaceChildren();
  for (const text of model.get("lines")) {
    const line = document.createElement("div");
    line.textContent = text;
    if (text.endsWith(":")) line.style.fontWeight = "bold";
    view.list.appendChild(line);
  }
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const map = document.createElement("div"), list = document.createElement("div");
    map.className = "vmio-reach";
    list.className = "vmio-code vmio-list";
    list.tabIndex = 0;
    list.setAttribute("role", "region");
    list.setAttribute("aria-label", "The attacks that aim there");
    el.append(map, list);
    const svg = add(map, "svg", { role: "img", width: "100%", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const view = { svg, list }, redraw = () => update(view, model);
    redraw();
    model.on("change:reach change:text change:lines", redraw);
    return () => model.off("change:reach change:text change:lines", redraw);
  },
};
