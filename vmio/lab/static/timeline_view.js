// The lanes of timeline_view.py: a row for each party, a column for each moment, arrows from who acts to what it reaches.
// Plain SVG, no libraries, nothing from the network; steps.js stands before it in the same module.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, SIZE = 16, NAMES = 150, HEAD = 30, LANE = 50;
const INK = "#222", PALE = "#767676", ACT = "#0072B2", HARM = "#9E1B32", BAR = 24;

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

// What a lane has, as a plate from where it got it to where it gets something else, or to where we are.
function drawHeld(svg, frames, at, lane, y, column) {
  let start = null;
  frames.slice(0, at + 1).forEach((frame, n) => {
    const has = frame.has[lane], next = n < at ? frames[n + 1].has[lane] : undefined;
    if (has === undefined) return;
    if (start === null) start = n;
    if (has === next) return;
    const x = column(start) + 14, end = n < at ? column(n + 1) - 12 : column(n) + 0.5 * (column(1) - column(0)), group = add(svg, "g", { class: "vmio-held", "data-lane": lane, "data-has": has });
    add(group, "rect", { x, y: y - BAR / 2, width: end - x, height: BAR, rx: 4, fill: "#FFF3A0", stroke: INK });
    add(group, "text", { x: x + 6, y: y + 5.5, "font-weight": "bold" }, has);
    start = null;
  });
}

function drawMoments(svg, frames, at, lanes, level, column) {
  frames.slice(0, at + 1).forEach((frame, n) => {
    const x = column(n), color = frame.harm ? HARM : n === at ? ACT : PALE, from = level(frame.source), to = level(frame.target);
    const group = add(svg, "g", { class: "vmio-moment", "data-moment": n, "data-harm": frame.harm });
    if (from !== to) {
      const end = to + (to > from ? -1 : 1) * (BAR / 2 + 11);
      add(group, "path", { d: `M${x} ${from}V${end}`, stroke: color, "stroke-width": 3.5, fill: "none" });
      const s = to > end ? 1 : -1;
      add(group, "path", { d: `M${x - 7} ${end}h14L${x} ${end + 11 * s}z`, fill: color });
    }
    if (frame.harm) add(group, "path", { d: `M${x - 9} ${from - 9}L${x + 9} ${from + 9}M${x + 9} ${from - 9}L${x - 9} ${from + 9}`, stroke: HARM, "stroke-width": 5 });
    else add(group, "circle", { cx: x, cy: from, r: n === at ? 9 : 6, fill: color, stroke: "#fff", "stroke-width": 1.5 });
  });
}

function update(view, model) {
  const frames = model.get("frames"), lanes = model.get("lanes"), at = model.get("frame"), { svg } = view;
  if (!frames.length) return;
  const most = Math.max(view.most ?? 0, frames.length);
  view.most = most;                                  // so that nothing jumps from one story to the next
  const column = (n) => NAMES + 26 + n * (WIDTH - NAMES - 90) / (most - 1), level = (lane) => HEAD + LANE * (lanes.indexOf(lane) + 0.5);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEAD + LANE * lanes.length}`);
  frames.forEach((frame, n) => {
    add(svg, "line", { x1: column(n), x2: column(n), y1: HEAD, y2: HEAD + LANE * lanes.length, stroke: n === at ? ACT : "#ddd", "stroke-width": n === at ? 2 : 1 });
    add(svg, "text", { x: column(n), y: 18, "text-anchor": "middle", fill: n === at ? INK : PALE, ...(n === at ? { "font-weight": "bold" } : {}), class: "vmio-tick" }, `${frame.us.toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 })}${n ? "" : " us"}`);
  });
  for (const lane of lanes) {
    add(svg, "line", { x1: NAMES, x2: WIDTH - 10, y1: level(lane), y2: level(lane), stroke: "#bbb", "stroke-width": 1.5 });
    const acts = lane === frames[at].who;
    add(svg, "text", { x: NAMES - 10, y: level(lane) + 5.5, "text-anchor": "end", ...(acts ? { "font-weight": "bold" } : {}) }, lane);
    drawHeld(svg, frames, at, lane, level(lane), column);
  }
  drawMoments(svg, frames, at, lanes, level, column);
  view.caption.textContent = model.get("spoken")[at] || "";
  view.caption.style.color = frames[at].harm ? HARM : INK;
  Object.assign(view.range, { max: frames.length - 1, value: at });
  svg.setAttribute("aria-label", `${model.get("title")} ${model.get("spoken")[at] || ""}`.trim());
  view.root.dataset.frame = at;
}

export default {
  render({ model, el }) {
    const root = html(el, "div", { className: "vmio-timeline" }, `background:#fff;color:${INK};font:16px ${FONT}`);
    const svg = add(root, "svg", { role: "img", width: "100%", "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const caption = html(root, "p", { className: "vmio-timeline-text" }, "margin:4px 8px;font-size:17px;min-height:1.5em;font-weight:bold");
    caption.setAttribute("aria-live", "polite");
    const view = { root, svg, caption, ...steps(root, model, "vmio-timeline") }, redraw = () => update(view, model);
    redraw();
    model.on("change:frames change:frame change:spoken", redraw);
    return () => {
      view.stop();
      model.off("change:frames change:frame change:spoken", redraw);
    };
  },
};
