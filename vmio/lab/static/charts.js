// Draws the charts of charts.py.  Plain SVG, no libraries, nothing from the network; card.js comes after it in the same module.
// Every text is measured before it is placed, so none lies on another; `em` is the text's size in pixels, at least 14.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const INK = "#222", PALE = "#ddd";
const DASH = { solid: "", dashed: "7 4", dashdot: "9 4 2 4", dotted: "2 4" };
const ruler = document.createElement("canvas").getContext("2d");

function wide(text, em, bold = false) {
  ruler.font = `${bold ? "bold " : ""}${em}px ${FONT}`;
  return ruler.measureText(text).width;
}

const widest = (texts, em) => Math.max(0, ...texts.map((text) => wide(text, em)));

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent.appendChild(element);
  return element;
}

const say = (parent, x, y, text, more = {}) => add(parent, "text", { x: x.toFixed(1), y: y.toFixed(1), ...more }, text);
const rule = (parent, x1, y1, x2, y2, more = {}) => add(parent, "line", { x1, y1, x2, y2, stroke: INK, ...more });

// As `number` of vmio/table.py: separators, and as many decimals as three digits need.
function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (Math.abs(value) < 0.0001) return value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
  let decimals = 0;
  while (Math.abs(value) * 10 ** decimals < 99.95 && decimals < 6) decimals += 1;
  return value.toLocaleString("en-US", { maximumFractionDigits: decimals });
}

// As `place` of axes.py.
function stretched(kind, value) {
  if (kind === "linear" || (kind === "count" && value < 1)) return value;
  return Math.log10(value) + (kind === "count" ? 1 : 0);
}

function place(axis, value) {
  const low = stretched(axis.kind, axis.low), high = stretched(axis.kind, axis.high);
  return (stretched(axis.kind, value) - low) / (high - low);
}

// Words in as many lines as they need.
function wrap(text, room, em, bold = false) {
  return text.split(" ").reduce((lines, word) => {
    const last = lines[lines.length - 1];
    if (last !== undefined && wide(`${last} ${word}`, em, bold) <= room) return [...lines.slice(0, -1), `${last} ${word}`];
    return [...lines, word];
  }, []);
}

function drawTitle(svg, chart, room, em) {
  const lines = wrap(chart.title, room, em * 1.08, true);
  lines.forEach((line, at) => say(svg, 0, em * (1.1 + 1.25 * at), line, { "font-weight": "bold", "font-size": em * 1.08, class: "vmio-title" }));
  return em * (0.6 + 1.25 * lines.length);
}

// The key: what each colour, line and mark means; a new line where the next doesn't fit.
function drawKey(svg, items, top, room, em) {
  let x = 0, y = top + em;
  for (const one of items) {
    const sample = one.dash === undefined ? 1.0 * em : 2.4 * em, words = one.here ? `${one.name}: ${one.here}` : one.name;
    const need = sample + 0.4 * em + wide(words, em);
    if (x > 0 && x + need > room) [x, y] = [0, y + 1.35 * em];
    if (one.dash === undefined) add(svg, "rect", { x: x + 0.5, y: y - 0.8 * em, width: 0.85 * em, height: 0.85 * em, fill: one.color, stroke: INK });
    else {
      rule(svg, x, y - 0.35 * em, x + sample, y - 0.35 * em, { stroke: one.color, "stroke-width": 2.4, "stroke-dasharray": DASH[one.dash] });
      if (one.here) drawMark(svg, one, x + sample / 2, y - 0.35 * em);
    }
    say(svg, x + sample + 0.4 * em, y, words);
    x += need + 1.1 * em;
  }
  return y + 0.5 * em;
}

function drawMark(svg, one, x, y, size = 5) {
  const how = { fill: one.fill ?? one.color, stroke: INK, class: "vmio-mark" }, s = size * 1.2;
  if (one.marker === "circle") return add(svg, "circle", { cx: x, cy: y, r: size, ...how });
  const corners = { square: [-1, -1, 1, -1, 1, 1, -1, 1], diamond: [0, -1.2, 1.2, 0, 0, 1.2, -1.2, 0], triangle: [0, -1.1, 1.1, 1, -1.1, 1],
    down: [0, 1.1, 1.1, -1, -1.1, -1], hexagon: [-1.2, 0, -0.6, -1, 0.6, -1, 1.2, 0, 0.6, 1, -0.6, 1] }[one.marker];
  return add(svg, "polygon", { points: corners.map((corner, at) => (at % 2 ? y : x) + corner * s * 0.8).join(" "), ...how });
}

// Every so many of the ticks, so that their words keep apart: `need(text)` is a word's length along the axis.
function thinned(ticks, where, need) {
  for (let every = 1; ; every += 1) {
    const kept = ticks.filter((_, at) => at % every === 0);
    if (kept.length < 2 || kept.slice(1).every(([value, text], at) =>
      Math.abs(where(value) - where(kept[at][0])) >= (need(text) + need(kept[at][1])) / 2)) return kept;
  }
}

// The axis below: a line from `left` to `right`, ticks, their words, the label; returns where the next thing may stand.
function drawBelow(svg, axis, left, right, y, em, { line = true, gap = 0, grid = null, room }) {
  const where = (value) => left + place(axis, value) * (right - left);
  for (const [value] of axis.ticks) {
    const x = where(value);
    if (grid !== null && x > left + 1) svg.prepend(rule(svg, x, grid, x, y, { stroke: PALE }));
    rule(svg, x, y, x, y + 0.3 * em);
  }
  for (const [value, text] of thinned(axis.ticks, where, (word) => wide(word, em) + 0.7 * em)) {
    const x = where(value);
    say(svg, Math.max(wide(text, em) / 2, Math.min(x, room - wide(text, em) / 2)), y + gap + 1.6 * em, text, { "text-anchor": "middle", class: "vmio-tick", "data-value": value });
  }
  if (line) rule(svg, left, y, right, y);
  const label = wrap(axis.label, room, em);
  const middle = Math.max(widest(label, em) / 2, Math.min(room - widest(label, em) / 2, (left + right) / 2));
  label.forEach((words, at) => say(svg, middle, y + gap + em * (2.8 + 1.2 * at), words, { "text-anchor": "middle", class: "vmio-label" }));
  return y + gap + em * (2 + 1.2 * label.length);
}

// Names down the left side, or above their bars where they would take half of the width.  Returns where each row and the plot are.
function rows(svg, names, top, room, em) {
  const beside = widest(names, em) + 0.6 * em, above = beside > 0.46 * room, places = [];
  let y = top;
  for (const name of names) {
    const lines = above ? wrap(name, room, em) : [];
    lines.forEach((line, at) => say(svg, 0, y + em * (0.95 + 1.2 * at), line, { stroke: "#fff", "stroke-width": 4, "paint-order": "stroke" }));
    y += 1.2 * em * lines.length + (above ? 0.05 * em : 0);
    places.push(y);
    if (!above) say(svg, beside - 0.6 * em, y + 1.05 * em, name, { "text-anchor": "end" });
    y += (above ? 1.1 : 1.6) * em;
  }
  return { places, left: above ? 1 : beside, bottom: y + 0.1 * em, high: (above ? 1.0 : 1.25) * em };
}

function drawBars(svg, chart, room, em) {
  const top = drawTitle(svg, chart, room, em), { places, left, bottom, high } = rows(svg, chart.bars.map((one) => one.name), top, room, em);
  const right = room - widest(chart.bars.map((one) => one.text), em) - 0.5 * em;
  const end = drawBelow(svg, chart.axis, left, right, bottom, em, { grid: top, room });
  chart.bars.forEach((one, at) => {
    const long = Math.max(0, place(chart.axis, one.value) * (right - left)), y = places[at];
    add(svg, "rect", { x: left, y, width: long, height: high, fill: one.color, stroke: INK, "stroke-width": 0.7, class: "vmio-bar", "data-name": one.name });
    say(svg, left + long + 0.35 * em, y + high / 2 + 0.36 * em, one.text, { class: "vmio-value" });
  });
  rule(svg, left, top, left, bottom);
  return end;
}

function drawStack(svg, chart, room, em) {
  const key = drawKey(svg, chart.parts, drawTitle(svg, chart, room, em), room, em);
  const one = chart.rows.length === 1;
  const { places, left, bottom, high } = rows(svg, one ? [""] : chart.rows.map((row) => row.name), key, room, em);
  const right = room - widest(chart.rows.map((row) => row.total), em) - 0.9 * em;
  const end = drawBelow(svg, chart.axis, left, right, bottom, em, { grid: key, room });
  chart.rows.forEach((row, at) => {
    let x = left;
    row.values.forEach((value, part) => {
      const long = place(chart.axis, value) * (right - left);
      add(svg, "rect", { x, y: places[at], width: long, height: high, fill: chart.parts[part].color, stroke: INK, "stroke-width": 0.7, class: "vmio-bar", "data-name": `${row.name} ${chart.parts[part].name}` });
      if (long > wide(row.texts[part], em) + 0.4 * em) say(svg, x + long / 2, places[at] + high / 2 + 0.36 * em, row.texts[part], { "text-anchor": "middle" });
      x += long;
    });
    say(svg, x + 0.35 * em, places[at] + high / 2 + 0.36 * em, row.total, { "font-weight": "bold", class: "vmio-value" });
  });
  rule(svg, left, key, left, bottom);
  return end;
}

function drawLines(svg, chart, room, em) {
  const key = drawKey(svg, chart.series, drawTitle(svg, chart, room, em), room, em) + 0.3 * em;
  const tall = (chart.tall ?? 8) * em, top = key + 0.2 * em, bottom = top + tall;
  const ticked = chart.series.some((one) => one.ticks.length), words = ticked ? "signals" : "";
  const up = (value) => bottom - place(chart.y, value) * tall;
  const ticks = thinned(chart.y.ticks, up, () => 1.3 * em);
  const left = 1.5 * em + Math.max(widest(ticks.map(([, text]) => text), em) + 0.5 * em, ticked ? wide(words, em) - em : 0);
  const right = room - widest(chart.x.ticks.slice(-1).map(([, text]) => text), em) / 2 - 2, x = (value) => left + place(chart.x, value) * (right - left);
  for (const [value, text] of ticks) {
    rule(svg, left, up(value), right, up(value), { stroke: PALE });
    say(svg, left - 0.4 * em, up(value) + 0.36 * em, text, { "text-anchor": "end", class: "vmio-tick", "data-value": value });
  }
  const label = wrap(chart.y.label, tall + 1.5 * em, em)[0], middle = (top + bottom) / 2;
  say(svg, em * 0.9, middle, chart.y.label, { "text-anchor": "middle", transform: `rotate(-90 ${(em * 0.9).toFixed(1)} ${middle.toFixed(1)})`, class: "vmio-label", "data-whole": label === chart.y.label });
  const gap = ticked ? chart.series.length * 0.95 * em + 0.3 * em : 0;
  const end = drawBelow(svg, chart.x, left, right, bottom, em, { gap, grid: top, room });
  rule(svg, left, top, left, bottom);
  for (const one of chart.limits) {
    rule(svg, left, up(one.y), right, up(one.y), { "stroke-dasharray": "2 3", "stroke-width": 1.3 });
    say(svg, right, up(one.y) - 0.3 * em, one.text, { "text-anchor": "end" });
  }
  if (chart.at !== null && chart.at >= chart.x.low && chart.at <= chart.x.high) rule(svg, x(chart.at), top, x(chart.at), bottom, { "stroke-dasharray": "4 3", class: "vmio-at" });
  chart.series.forEach((one, at) => {
    const path = one.x.map((value, n) => {
      const [a, b] = [x(value).toFixed(1), up(one.y[n]).toFixed(1)];
      return n === 0 ? `M${a} ${b}` : one.step ? `H${a}V${b}` : `L${a} ${b}`;
    });
    add(svg, "path", { d: path.join(""), fill: "none", stroke: one.color, "stroke-width": 2.4, "stroke-linejoin": "round", "stroke-dasharray": DASH[one.dash], class: "vmio-line", "data-name": one.name });
    if (one.here !== null) drawMark(svg, one, x(chart.at), up(one.y[one.x.indexOf(chart.at)]));
    const row = bottom + em * (0.5 + 0.95 * at);
    if (one.ticks.length) add(svg, "path", { d: one.ticks.map((value) => `M${x(value).toFixed(1)} ${row}v${0.75 * em}`).join(""), stroke: one.color, "stroke-width": 1.6, class: "vmio-ticks" });
  });
  if (ticked) say(svg, left - 0.4 * em, bottom + em * (0.75 + 0.475 * chart.series.length), words, { "text-anchor": "end" });
  return end;
}

function drawDots(svg, chart, room, em) {
  const key = drawKey(svg, chart.groups.map(({ name, fill }) => ({ name, color: fill })), drawTitle(svg, chart, room, em), room, em);
  const { places, left, bottom } = rows(svg, chart.names, key, room, em), right = room - em;
  const x = (value) => left + place(chart.axis, value) * (right - left);
  svg.prepend(add(svg, "rect", { x: x(chart.band[0]), y: key, width: x(chart.band[1]) - x(chart.band[0]), height: bottom - key, fill: PALE }));
  rule(svg, x(chart.line), key, x(chart.line), bottom);
  const end = drawBelow(svg, chart.axis, left, right, bottom, em, { room });
  for (const group of chart.groups) for (const [value, row] of group.points) drawMark(svg, group, x(value), places[row] + 0.7 * em, 4.5);
  return end;
}

const DRAW = { bars: drawBars, stack: drawStack, lines: drawLines, dots: drawDots };

// The chart as an <svg> of `room` pixels; what is drawn says how high it is.
function drawChart(svg, chart, room, em) {
  svg.replaceChildren();
  const high = Math.ceil(DRAW[chart.kind](svg, chart, room, em));
  for (const [name, value] of Object.entries({ role: "img", width: room, height: high, viewBox: `0 0 ${room} ${high}`, "font-size": em, "font-family": FONT, fill: INK, "aria-label": chart.words, "data-kind": chart.kind })) svg.setAttribute(name, value);
}

// The same chart as rows of a table: [[head, ...], [cell, ...], ...].
function tableOf(chart) {
  if (chart.kind === "bars") return [["", chart.unit], ...chart.bars.map((one) => [one.name, one.text])];
  if (chart.kind === "stack") return [["", ...chart.parts.map((part) => part.name), "total"], ...chart.rows.map((row) => [row.name, ...row.texts, row.total])];
  if (chart.kind === "dots") return [["", chart.axis.label, ""], ...chart.groups.flatMap((group) => group.points.map(([value, row]) => [chart.names[row], number(value), group.name]))];
  return [["", chart.x.label, chart.y.label], ...chart.series.flatMap((one) => one.x.map((value, at) => [one.name, number(value), number(one.y[at])]))];
}
