// The ring of ring_view.py: a circle, two cursors, records as arcs, two sides, signals.
// Plain SVG, no libraries, nothing from the network; steps.js stands before it in the same module.

const SVG = "http://www.w3.org/2000/svg";
const X = 470, Y = 226, OUT = 138, IN = 106;   // the ring's middle and its two radii
const MOVE = 300;                              // ms: a cursor's way
const COLOR = { write: "#C04A00", read: "#0072B2", signal: "#A0508A", hang: "#B00020" };
const FILL = { written: "#fff", published: "#F5C26B", received: "#BFDDF0" };
const BOX = { producer: -24, consumer: 760 };    // left edges; each is 204 wide
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const plain = (n) => n.toLocaleString("en-US");

const set = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

// `turn` is a part of the circle, 0 at the top, clockwise.
const point = (turn, radius) => [X + radius * Math.sin(2 * Math.PI * turn), Y - radius * Math.cos(2 * Math.PI * turn)];

function arc(from, length) {
  const end = from + Math.min(length, 0.9999), large = length > 0.5 ? 1 : 0;
  const at = (turn, radius) => point(turn, radius).map((n) => n.toFixed(2)).join(" ");
  return `M${at(from, OUT)}A${OUT} ${OUT} 0 ${large} 1 ${at(end, OUT)}L${at(end, IN)}A${IN} ${IN} 0 ${large} 0 ${at(from, IN)}Z`;
}

function side(svg, name, words) {
  const x = BOX[name], group = add(svg, "g", { class: `vmio-ring-${name}` });
  const box = add(group, "rect", { x, y: 146, width: 204, height: 134, rx: 8, stroke: "#222", "stroke-width": 1.5, class: "vmio-box" });
  add(group, "text", { x: x + 102, y: 174, "text-anchor": "middle", "font-weight": "bold", "font-size": 20 }, name);
  const state = add(group, "text", { x: x + 102, y: 200, "text-anchor": "middle", class: "vmio-ring-state" });
  const values = {};
  words.forEach(([field, label, color], row) => {
    const y = 238 + 28 * row;
    values[field] = add(group, "text", { x: x + 194, y, "text-anchor": "end", "font-weight": "bold", fill: color, class: `vmio-ring-${field}` });
    add(group, "text", { x: x + 10, y, "font-size": 18 }, label);
  });
  return { box, state, values };
}

function signal(svg, path, y) {
  const group = add(svg, "g", { class: "vmio-ring-signal" });
  add(group, "path", { d: path, fill: "none", stroke: COLOR.signal, "stroke-width": 3, "stroke-dasharray": "7 5", "marker-end": "url(#vmio-ring-head)" });
  add(group, "text", { x: X - 270, y, "text-anchor": "middle", stroke: "#fff", "stroke-width": 6, "paint-order": "stroke", fill: "#222" }, "signal");
  const pulse = add(group, "circle", { r: 8, fill: COLOR.signal, opacity: 0 });
  const timing = { dur: "0.7s", begin: "indefinite", fill: "remove" };
  return { group, pulse: [add(pulse, "animateMotion", { ...timing, path }), add(pulse, "animate", { ...timing, attributeName: "opacity", values: "1;1;0" })] };
}

function cursor(svg, name, radius, tip) {
  const group = add(svg, "g", { class: `vmio-ring-cursor-${name}` });
  const dot = add(group, "circle", { r: 13, fill: COLOR[name], stroke: "#fff", "stroke-width": 1.5 });
  const line = add(group, "line", { stroke: COLOR[name], "stroke-width": 4 });
  const letter = add(group, "text", { "text-anchor": "middle", fill: "#fff", "font-weight": "bold", "font-size": 18 }, name[0].toUpperCase());
  return (turn) => {
    const [x, y] = point(turn, radius), [x1, y1] = point(turn, tip[0]), [x2, y2] = point(turn, tip[1]);
    set(dot, { cx: x, cy: y });
    set(line, { x1, y1, x2, y2 });
    set(letter, { x, y: y + 6.5 });
  };
}

function build(el, model) {
  const root = html(el, "div", { className: "vmio-ring" }, "background:#fff;color:#222;max-width:980px;font:16px Arial,'Liberation Sans','DejaVu Sans Condensed','DejaVu Sans',sans-serif");
  const svg = add(root, "svg", { role: "img", width: "100%", viewBox: "-30 0 1000 436", "font-size": 19, style: "display:block;max-height:340px" });
  const head = add(add(svg, "defs"), "marker", { id: "vmio-ring-head", viewBox: "0 0 10 10", refX: 2, refY: 5, markerWidth: 4, markerHeight: 4, orient: "auto" });
  add(head, "path", { d: "M0 0L10 5L0 10z", fill: COLOR.signal });
  const view = {
    root, svg, records: new Map(),
    producer: side(svg, "producer", [["write", "write index", COLOR.write], ["pending", "pending size", "#222"]]),
    consumer: side(svg, "consumer", [["read", "read index", COLOR.read], ["mask", "mask", "#222"]]),
    toConsumer: signal(svg, `M78 140V12H862V128`, 18), toProducer: signal(svg, `M862 286V424H78V298`, 430),
  };
  const circle = (r, stroke, width) => add(svg, "circle", { cx: X, cy: Y, r, fill: "none", stroke, "stroke-width": width });
  circle((OUT + IN) / 2, "#e9e9e9", OUT - IN);
  view.arcs = add(svg, "g");
  view.lost = add(svg, "path", { fill: "#555", class: "vmio-ring-lost" });
  add(view.lost, "title", {}, "8 bytes stay free: equal indices mean empty");
  for (const r of [OUT, IN]) circle(r, "#222", 1.2);
  add(svg, "line", { x1: X, x2: X, y1: Y - OUT - 5, y2: Y - IN + 5, stroke: "#222", "stroke-width": 1.2 });
  add(svg, "text", { x: X + 5, y: Y - IN + 17, "font-size": 18 }, "0");
  view.middle = ["used", "free", "size"].map((name, row) => add(svg, "text", { x: X, y: Y - 14 + 26 * row, "text-anchor": "middle",
    class: `vmio-ring-${name}`, ...(row ? {} : { "font-weight": "bold", "font-size": 22 }) }));
  view.cursors = { write: cursor(svg, "write", OUT + 19, [OUT + 6, IN]), read: cursor(svg, "read", IN - 19, [IN - 6, OUT]) };
  view.caption = html(root, "p", { className: "vmio-ring-text" }, "margin:4px 8px;font-size:19px;min-height:1.5em");
  view.caption.setAttribute("aria-live", "polite");
  const legend = html(root, "p", {}, "margin:4px 8px;font-size:16px"), { written, published, received } = FILL;
  for (const [color, words] of [[written, "written, not published"], [published, "published"], [received, "read, room kept"], ["#555", "8 bytes that stay free"]]) {
    html(legend, "span", {}, `display:inline-block;width:13px;height:13px;margin:0 6px -2px 0;border:1px solid #222;background:${color}`);
    html(legend, "span", { textContent: words }, "margin-right:18px;white-space:nowrap");
  }
  view.signals = html(legend, "b", { className: "vmio-ring-signals" }, `color:${COLOR.signal};white-space:nowrap`);
  Object.assign(view, steps(view.root, model, "vmio-ring"));
  return view;
}

function drawRecords(view, frame) {
  const wanted = new Set();
  for (const one of frame.records) {
    const key = `${one.transaction_id}-${one.at}`, turn = one.at / frame.size, length = one.length / frame.size;
    wanted.add(key);
    if (!view.records.has(key)) {
      const group = add(view.arcs, "g", { class: "vmio-ring-record", "data-record": one.transaction_id });
      const path = add(group, "path", { d: arc(turn, length), stroke: "#222", "stroke-width": 1.2 });
      path.style.transition = "fill .3s";
      const [x, y] = point(turn + length / 2, OUT + 38), left = x < X - 60, right = x > X + 60;
      const label = add(group, "text", { x, y: y - 4 + (y - Y) / 22, "font-size": 18, "text-anchor": left ? "end" : right ? "start" : "middle", visibility: length > 0.02 ? "visible" : "hidden" });
      add(label, "tspan", { x, "font-weight": "bold" }, `id ${one.transaction_id}`);
      add(label, "tspan", { x, dy: 19 }, `${one.kind.replaceAll("_", " ")} ${plain(one.length)}`);
      view.records.set(key, { group, path });
    }
    const state = one.received ? "received" : one.published ? "published" : "written", { group, path } = view.records.get(key);
    path.style.fill = FILL[state];
    set(path, { "stroke-dasharray": state === "written" ? "5 4" : "" });
    group.dataset.state = state;
  }
  for (const [key, one] of view.records) {
    if (!wanted.has(key)) one.group.remove(), view.records.delete(key);
  }
}

// Cursors travel the way the bytes went: clockwise for a step forward, back for a step back.
function travel(view, frame, forward) {
  const way = (from, to) => (forward ? 1 : -1) * ((((forward ? to - from : from - to) % frame.size) + frame.size) % frame.size);
  const place = (write, read) => {
    view.at = { write, read };
    view.cursors.write(write / frame.size);
    view.cursors.read(read / frame.size);
    const lost = Math.max(8 / frame.size, 0.008);   // true to scale they would be too thin to see
    view.lost.setAttribute("d", arc(read / frame.size - lost, lost));
  };
  cancelAnimationFrame(view.running);
  if (!view.at || still()) return place(frame.write, frame.read);
  const from = view.at, write = way(from.write, frame.write), read = way(from.read, frame.read), start = performance.now();
  const move = (now) => {
    const part = Math.max(0, (now - start) / MOVE), eased = part * part * (3 - 2 * part);
    if (part >= 1) return place(frame.write, frame.read);
    place(from.write + write * eased, from.read + read * eased);
    view.running = requestAnimationFrame(move);
  };
  view.running = requestAnimationFrame(move);
}

function update(view, model) {
  const frames = model.get("frames"), at = model.get("frame"), frame = frames[at];
  view.root.hidden = !frame;     // a ring without a story is not drawn
  if (!frame) return;
  const same = view.shown && view.shown.frames === frames, forward = !same || at >= view.shown.at;
  drawRecords(view, frame);
  travel(view, frame, forward);
  for (const name of ["producer", "consumer"]) {
    const asleep = frame.asleep.includes(name), acts = frame.actor === name, { box, state, values } = view[name];
    state.textContent = asleep ? "asleep" : "awake";
    set(box, { fill: asleep ? "#dcdcdc" : acts ? "#fff6d6" : "#f4f4f4", "stroke-width": acts ? 3 : 1.5 });
    for (const [field, text] of Object.entries(values)) text.textContent = plain(frame[field]);
  }
  for (const [one, target] of [[view.toConsumer, "consumer"], [view.toProducer, "producer"]]) {
    const rings = frame.signal === target;
    set(one.group, { opacity: rings ? 1 : 0.2, class: rings ? "vmio-ring-signal vmio-lit" : "vmio-ring-signal" });
    if (rings && same && at > view.shown.at && !still()) one.pulse.forEach((animation) => animation.beginElement());
  }
  const words = [`${plain(frame.used)} used`, `${plain(frame.size - frame.used)} free`, `of ${plain(frame.size)} bytes`];
  words.forEach((text, row) => { view.middle[row].textContent = text; });
  view.caption.textContent = `Step ${at} of ${frames.length - 1}: ${frame.actor} ${frame.text}`;
  view.signals.textContent = `signals: ${plain(frame.signals)}`;
  view.caption.style.color = frame.text.includes("hangs:") ? COLOR.hang : "#222";
  Object.assign(view.range, { max: frames.length - 1, value: at });
  view.svg.setAttribute("aria-label", `${model.get("title")} ${model.get("spoken")[at] || ""}`.trim());
  view.root.dataset.frame = at;
  view.shown = { frames, at };
}

export default {
  render({ model, el }) {
    const view = build(el, model), redraw = () => update(view, model), events = "change:frames change:frame change:spoken";
    redraw();
    model.on(events, redraw);
    return () => {
      view.stop();
      cancelAnimationFrame(view.running);
      model.off(events, redraw);
    };
  },
};
