// The map of isolation_view.py: a hostile guest's doors, a wall, what lies behind it, an arrow.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, HEIGHT = 292, SIZE = 16;
const LEFT = { x: 4, wide: 180, top: 32, row: 31 };                       // the hostile guest and its doors
const RIGHT = { x: 548, wide: 328, chip: 226, row: 21, gap: 4 };         // who lies behind the wall
const WALL = { x: 368, wide: 18, top: 32, bottom: 208 };
const INK = "#222", PALE = "#767676", HARM = "#9E1B32", ARROW = "#D55E00";  // of the scheme in palette.py: vermillion; harm is darker still

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

const ruler = document.createElement("canvas").getContext("2d");

// Words that are wider than their room, in the font that this computer has, are set narrower.
function say(parent, x, y, text, room, more = {}) {
  const bold = more["font-weight"] === "bold", size = more["font-size"] ?? SIZE;
  ruler.font = `${bold ? "bold " : ""}${size}px ${FONT}`;
  const narrow = ruler.measureText(text).width > room ? { textLength: room, lengthAdjust: "spacingAndGlyphs" } : {};
  return add(parent, "text", { x, y, ...narrow, ...more }, text);
}

function drawDoors(svg, drawn) {
  const high = LEFT.top + LEFT.row * drawn.doors.length;
  add(svg, "rect", { x: LEFT.x, y: 4, width: LEFT.wide, height: high, rx: 8, fill: "#f4f4f4", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
  say(svg, LEFT.x + LEFT.wide / 2, 24, "hostile guest", LEFT.wide - 8, { "text-anchor": "middle", "font-weight": "bold" });
  let at = 0;
  drawn.doors.forEach((name, row) => {
    const used = name === drawn.door, y = LEFT.top + LEFT.row * row, group = add(svg, "g", { class: "vmio-door", "data-used": used });
    add(group, "rect", { x: LEFT.x + 7, y, width: LEFT.wide - 14, height: LEFT.row - 5, rx: 4, fill: used ? "#fff6d6" : "#fff", stroke: used ? INK : "#bbb", "stroke-width": used ? 2.5 : 1 });
    say(group, LEFT.x + LEFT.wide / 2, y + 18.5, name, LEFT.wide - 20, { "text-anchor": "middle", fill: used ? INK : PALE, ...(used ? { "font-weight": "bold" } : {}) });
    if (used) at = y + (LEFT.row - 5) / 2;
  });
  return [LEFT.x + LEFT.wide, at];
}

// A place is a plate with round corners; what was harmed has its corners cut off, a cross, and another colour.
function drawPlaces(svg, drawn) {
  const found = [];
  let y = 4;
  for (const guest of drawn.guests) {
    const high = RIGHT.row * guest.places.length + 8;
    const group = add(svg, "g", { class: "vmio-guest", "data-guest": guest.name });
    add(group, "rect", { x: RIGHT.x, y, width: RIGHT.wide, height: high, rx: 8, fill: "#f4f4f4", stroke: INK, "stroke-width": 1.5, class: "vmio-box" });
    say(group, RIGHT.x + RIGHT.chip + (RIGHT.wide - RIGHT.chip) / 2 + 3, y + high / 2 + 6, guest.name, RIGHT.wide - RIGHT.chip - 16, { "text-anchor": "middle", "font-weight": "bold" });
    guest.places.forEach((one, row) => {
      const top = y + 4 + RIGHT.row * row, x = RIGHT.x + 6, wide = RIGHT.chip, tall = RIGHT.row - 1.5, c = 6;
      const chip = add(group, "g", { class: "vmio-place", "data-place": `${guest.name} ${one.name}`, "data-harmed": one.harmed, "data-aim": one.aim });
      const shape = one.harmed
        ? `M${x + c} ${top}h${wide - 2 * c}l${c} ${c}v${tall - 2 * c}l${-c} ${c}h${2 * c - wide}l${-c} ${-c}v${2 * c - tall}z`
        : `M${x + 3} ${top}h${wide - 6}q3 0 3 3v${tall - 6}q0 3 -3 3h${6 - wide}q-3 0 -3 -3v${6 - tall}q0 -3 3 -3z`;
      add(chip, "path", { d: shape, fill: one.harmed ? HARM : "#fff", stroke: one.harmed || one.aim ? INK : "#bbb", "stroke-width": one.harmed || one.aim ? 2 : 1, "stroke-dasharray": one.aim && !one.harmed ? "5 3" : "" });
      const look = { fill: one.harmed ? "#fff" : INK, ...(one.harmed ? { "font-weight": "bold" } : {}) };
      say(chip, x + 8, top + 15.5, one.name, 86, look);
      say(chip, x + wide - 8, top + 15.5, `${one.harmed ? "\u2717" : "\u2713"} ${one.state}`, 116, { ...look, "text-anchor": "end" });
      found.push({ ...one, x: x - 8, y: top + tall / 2 });
    });
    y += high + RIGHT.gap;
  }
  return found;
}

function drawWall(svg, drawn) {
  const up = drawn.wallIs === "up", { x, wide, top, bottom } = WALL;
  const group = add(svg, "g", { class: "vmio-wall", "data-wall": drawn.wallIs });
  add(group, "rect", { x, y: top, width: wide, height: bottom - top, fill: up ? "#8a8a8a" : "#fff", stroke: up ? INK : PALE, "stroke-width": 1.5, "stroke-dasharray": up ? "" : "6 5" });
  if (up) for (let y = top + 11; y < bottom; y += 11) {       // bricks
    const middle = x + (Math.round((y - top) / 11) % 2 ? wide / 3 : wide * 2 / 3);
    add(group, "path", { d: `M${x} ${y}h${wide}M${middle} ${y}v-11`, stroke: "#fff", "stroke-width": 1.2, fill: "none" });
  }
  say(group, x + wide / 2, 22, up ? drawn.wall : `${drawn.wall} (off)`, 330, { "text-anchor": "middle", "font-weight": "bold", class: "vmio-wall-name" });
}

// Below the wall: which function it is, and its file.  White around the letters keeps an arrow that passes there off them.
function drawCheck(svg, drawn) {
  [drawn.check, drawn.file].forEach((words, row) => say(svg, WALL.x + WALL.wide / 2, WALL.bottom + 19 + 20 * row, words, 330,
    { "text-anchor": "middle", stroke: "#fff", "stroke-width": 5, "stroke-linejoin": "round", "paint-order": "stroke", class: "vmio-wall-check" }));
}

function drawArrow(svg, drawn, from, places) {
  const goals = places.filter((one) => (drawn.way === "through" ? one.harmed : one.aim)), middle = WALL.x + WALL.wide / 2;
  const level = (one) => from[1] + (one.y - from[1]) * (middle - from[0]) / (one.x - from[0]);
  const wish = goals.length ? goals.reduce((sum, one) => sum + level(one), 0) / goals.length : from[1];
  const y = Math.max(WALL.top + 14, Math.min(WALL.bottom - 14, wish)), group = add(svg, "g", { class: "vmio-attack", "data-way": drawn.way });
  const line = { stroke: ARROW, "stroke-width": 4, fill: "none" }, head = { "marker-end": "url(#vmio-map-head)" };
  const beyond = WALL.x + WALL.wide + 4;
  if (drawn.way === "stopped" || drawn.way === "waiting") {
    add(group, "path", { d: `M${from[0]} ${from[1]}L${WALL.x - 12} ${y}`, ...line, ...(drawn.way === "waiting" ? { "stroke-dasharray": "3 6" } : {}) });
    if (drawn.way === "stopped") add(group, "path", { d: `M${WALL.x - 5} ${y - 14}V${y + 14}`, stroke: ARROW, "stroke-width": 7, class: "vmio-stop" });
    for (const one of goals) add(group, "path", { d: `M${beyond} ${y}L${one.x - 8} ${one.y}`, stroke: PALE, "stroke-width": 1.8, "stroke-dasharray": "4 5", fill: "none", class: "vmio-wish" });
  } else if (drawn.way === "nowhere") {
    add(group, "path", { d: `M${from[0]} ${from[1]}L${beyond + 50} ${y}`, ...line, ...head });
  } else {
    const back = goals.some((one) => one.state.includes("leaked")) ? { "marker-start": "url(#vmio-map-head)" } : {};   // what leaks comes back
    add(group, "path", { d: `M${from[0] + (back["marker-start"] ? 10 : 0)} ${from[1]}L${middle} ${y}`, ...line, ...back });
    for (const one of goals) add(group, "path", { d: `M${middle} ${y}L${one.x - 9} ${one.y}`, ...line, ...head, class: "vmio-hit" });
  }
}

function drawEnd(svg, drawn) {
  const middle = WALL.x + WALL.wide / 2, harm = drawn.way === "through";
  const wide = 318, group = add(svg, "g", { class: "vmio-end" });
  add(group, "rect", { x: middle - wide / 2, y: 262, width: wide, height: 26, rx: harm ? 0 : 13, fill: harm ? HARM : "#fff", stroke: INK, "stroke-width": 1.5 });
  const mark = { stopped: "\u2713 ", through: "\u2717 ", nowhere: "", waiting: "" }[drawn.way];
  say(group, middle, 281, mark + drawn.end, wide - 16, { "text-anchor": "middle", "font-weight": "bold", fill: harm ? "#fff" : INK, class: "vmio-end-words" });
}

function update(view, model) {
  const drawn = model.get("drawn"), { svg } = view;
  svg.replaceChildren();
  if (!drawn.doors) return;
  const marker = add(add(svg, "defs"), "marker", { id: "vmio-map-head", viewBox: "0 0 10 10", refX: 2, refY: 5, markerWidth: 4, markerHeight: 4, orient: "auto-start-reverse" });
  add(marker, "path", { d: "M0 0L10 5L0 10z", fill: ARROW });
  drawWall(svg, drawn);
  const from = drawDoors(svg, drawn), places = drawPlaces(svg, drawn);
  drawArrow(svg, drawn, from, places);
  drawCheck(svg, drawn);
  drawEnd(svg, drawn);
  svg.setAttribute("aria-label", model.get("text"));
  view.code.replaceChildren();
  for (const text of model.get("code")) {
    const line = document.createElement("div");
    line.style.paddingLeft = `${text.search(/\S|$/) + 4}ch`;      // what is broken goes on under its own beginning, a little further in
    line.style.textIndent = "-4ch";
    line.textContent = text.trim() || "\u00a0";
    view.code.appendChild(line);
  }
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const map = document.createElement("div"), code = document.createElement("div");
    map.className = "vmio-map";
    code.className = "vmio-code";
    code.tabIndex = 0;
    code.setAttribute("role", "region");
    code.setAttribute("aria-label", "The attack's own lines");
    el.append(map, code);
    const svg = add(map, "svg", { role: "img", width: "100%", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const view = { svg, code }, redraw = () => update(view, model);
    redraw();
    model.on("change:drawn change:code change:text", redraw);
    return () => model.off("change:drawn change:code change:text", redraw);
  },
};
