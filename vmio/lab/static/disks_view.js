// The disks of disks_view.py: a lane for each, bars for what a slice of time has done, a strip for what is under way, marks for who did what.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 980, SIZE = 17, INK = "#222";
const LEFT = 150, RIGHT = 968, TOP = 26;                    // where time begins and ends, and where the first lane does
const LANE = 68, MARKS = 12, BASE = 55, TALL = 28, STRIP = 9;   // of a lane: its marks' middle, its bars' foot and height, its strip
const KEY = 52;                                             // the two lines that say what is what
// Of the schemes in palette.py; an error has a cross besides, so colour never stands alone.
const DONE = "#0072B2", FAILED = "#D55E00", UNDER_WAY = "#E69F00";

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

function circle(parent, x, y, mark) {
  const color = mark.what === "refused" ? FAILED : INK;
  add(parent, "circle", { cx: x, cy: y, r: 11, fill: mark.guest ? "#fff" : color, stroke: color, "stroke-width": 2 });
  add(parent, "text", { x, y: y + 6, "text-anchor": "middle", "font-weight": "bold", fill: mark.guest ? INK : "#fff" }, mark.letter);
}

// Marks stand at their times, or right behind the one before.
function drawMarks(svg, one, top, place) {
  let last = -Infinity;
  for (const mark of one.marks) {
    const time = place(mark.us), x = Math.max(time, last + 24), group = add(svg, "g", { class: "vmio-mark", "data-what": mark.what, "data-us": mark.us });
    last = x;
    add(group, "path", { d: `M${x} ${top + MARKS + 11}L${time} ${top + BASE - TALL}V${top + BASE + STRIP}`, stroke: INK, "stroke-width": 1, "stroke-dasharray": "2 3", fill: "none" });
    circle(group, x, top + MARKS, mark);
    add(group, "title", {}, `${mark.us.toLocaleString("en-US")} us: ${mark.words}`);
  }
}

function drawLane(svg, one, top, wide, most, busiest) {
  add(svg, "text", { x: LEFT - 12, y: top + 32, "text-anchor": "end", "font-weight": "bold" }, one.name);
  add(svg, "text", { x: LEFT - 12, y: top + 54, "text-anchor": "end" }, one.size);
  one.done.forEach((done, n) => {
    const x = LEFT + n * wide, failed = one.failed[n], group = add(svg, "g", { class: "vmio-slice", "data-disk": one.name, "data-slice": n, "data-done": done, "data-failed": failed, "data-under-way": one.under_way[n] });
    if (one.there[n]) add(group, "rect", { x, y: top + BASE - TALL, width: wide, height: TALL + STRIP, fill: "#eef4f8" });
    const high = (done / most) * TALL, bad = (failed / most) * TALL, busy = (one.under_way[n] / busiest) * STRIP;
    if (done) add(group, "rect", { x: x + 2, y: top + BASE - high, width: wide - 4, height: high, fill: DONE });
    if (failed) {
      add(group, "rect", { x: x + 2, y: top + BASE - high - bad, width: wide - 4, height: bad, fill: FAILED });
      const middle = x + wide / 2, y = top + BASE - high - bad / 2;
      add(group, "path", { d: `M${middle - 5} ${y - 5}l10 10m0 -10l-10 10`, stroke: "#fff", "stroke-width": 5 });
      add(group, "path", { d: `M${middle - 5} ${y - 5}l10 10m0 -10l-10 10`, stroke: INK, "stroke-width": 2.5 });
    }
    if (busy) add(group, "rect", { x: x + 2, y: top + BASE + 1, width: wide - 4, height: busy, fill: UNDER_WAY });
  });
  add(svg, "line", { x1: LEFT, x2: RIGHT, y1: top + BASE, y2: top + BASE, stroke: INK, "stroke-width": 1 });
}

function drawKey(svg, top) {
  const say = (x, y, words) => x + add(svg, "text", { x, y }, words).getComputedTextLength() + 24;
  let x = LEFT, y = top + 20;
  for (const [color, words] of [[DONE, "done"], [FAILED, "ended with an error"], [UNDER_WAY, "under way"]]) {
    add(svg, "rect", { x, y: y - 12, width: 13, height: 13, fill: color });
    x = say(x + 19, y, words);
  }
  x = LEFT;
  y += 25;
  for (const [guest, words] of [[false, "host: Add, Grow, Take, ? ask for it, x refused"], [true, "guest: has it, sees it, lets go"]]) {
    circle(svg, x + 11, y - 6, { guest, letter: "", what: "" });
    x = say(x + 28, y, words);
  }
}

function update(svg, model) {
  const lanes = model.get("lanes"), at = model.get("at"), slice = model.get("slice_us");
  svg.replaceChildren();
  if (!lanes.length) return;
  const slices = lanes[0].done.length, wide = (RIGHT - LEFT) / slices, bottom = TOP + LANE * lanes.length;
  const place = (us) => LEFT + (us / slice) * wide;
  const most = Math.max(1, ...lanes.flatMap((one) => one.done.map((done, n) => done + one.failed[n])));
  const busiest = Math.max(1, ...lanes.flatMap((one) => one.under_way));
  add(svg, "rect", { x: LEFT + at * wide, y: TOP - 4, width: wide, height: bottom - TOP + 4, fill: "#fff3a0", class: "vmio-now" });
  for (let n = 0; n <= slices; n += 4) {
    add(svg, "line", { x1: LEFT + n * wide, x2: LEFT + n * wide, y1: TOP - 4, y2: bottom, stroke: "#ddd" });
    add(svg, "text", { x: LEFT + n * wide, y: TOP - 9, "text-anchor": n === slices ? "end" : "middle" }, `${(n * slice).toLocaleString("en-US")}${n ? "" : " us"}`);
  }
  lanes.forEach((one, row) => drawLane(svg, one, TOP + row * LANE, wide, most, busiest));
  lanes.forEach((one, row) => drawMarks(svg, one, TOP + row * LANE, place));
  drawKey(svg, bottom);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${bottom + KEY}`);
  svg.setAttribute("aria-label", model.get("text"));
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const root = document.createElement("div");
    root.className = "vmio-disks";
    el.append(root);
    const svg = add(root, "svg", { role: "img", width: "100%", "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const redraw = () => update(svg, model);
    redraw();
    requestAnimationFrame(redraw);      // once it is in the page, words can be measured
    model.on("change:text change:lanes", redraw);
    return () => model.off("change:text change:lanes", redraw);
  },
};
