"use strict";
(() => {
const { marks, drawings } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const OUTCOMES = ["", "native", "expanded", "approximated", "dropped", "differs", "refused"];
const AT_ONCE = 60, MOST_DRAWN = 3000, MOST_LISTED = 200, SHADES = 5, LEAST_ZOOM = 0.6, LENGTHS = 200;
const canvas = $("canvas"), tree = $("tree"), details = $("details");
const view = { x: 0, y: 0, zoom: 1 };
let drawing, chosen, hits = [], colours, layer;

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const shape = (tag, attributes = {}, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const shown = (number, digits = 2) => (number === Infinity ? "not finite" : number === 0 || (number >= 0.01 && number < 1e4) ? String(Number(number.toPrecision(digits + 1))) : number.toExponential(digits));

/* The model: groups and operators, and the edges each group has between its members */

function read(plain) {
  const text = (place) => plain.texts[place];
  const leaves = plain.operators.map(([op, native, name, word, detail, reads, results, error], id) => ({
    id, op: text(op), native: text(native), name: text(name), word: text(word), detail: text(detail), reads, results,
    error: typeof error === "string" ? Infinity : error, readers: [], count: 1,
  }));
  const groups = [];
  const group = ([label, members], parent) => {
    const made = { id: leaves.length + groups.length, label, parent, depth: parent ? parent.depth + 1 : 0, edges: new Set(), open: !parent };
    groups.push(made);
    made.members = members.map((member) => {
      if (Array.isArray(member)) return group(member, made);
      leaves[member].parent = made;
      return leaves[member];
    });
    const [first] = made.members;
    made.whole = parent && made.members.length > 1 && made.members.every(({ native, name }) => name && native === first.native && name === first.name);
    made.count = made.members.reduce((sum, member) => sum + member.count, 0);
    made.word = made.members.reduce((worst, { word }) => (OUTCOMES.indexOf(word) > OUTCOMES.indexOf(worst) ? word : worst), "");
    made.error = made.members.reduce((worst, { error }) => (error == null || error <= worst ? worst : error), null);
    return made;
  };
  const root = group(plain.tree, null);
  for (const leaf of leaves) for (const source of leaf.reads) { leaves[source].readers.push(leaf.id); link(leaves[source], leaf); }
  return { ...plain, leaves, groups, root };
}

function link(from, to) {
  while (from.parent !== to.parent) {
    if (from.parent.depth >= to.parent.depth) { from.parent.edges.add(`${from.id} out`); from = from.parent; }
    else { to.parent.edges.add(`in ${to.id}`); to = to.parent; }
  }
  from.parent.edges.add(`${from.id} ${to.id}`);
}

const titleOf = (item) => (item.members ? item.label || drawing.title : item.parent.whole ? item.op : item.native);
const wordsOf = (item) => (item.members ? plural(item.count, "operator") : item.name);
const shortOf = (item) => (item.members || item.parent === drawing.root ? wordsOf(item) : item.name.split(item.name.includes("/") ? "/" : ".").pop());
const clipped = (text, most = 30) => (text.length > most ? `…${text.slice(1 - most)}` : text);

/* Layout: each open group by itself, once, as a box in the group it stands in */

function size(item) {
  if (item.open) { const { width, height } = layout(item); return { width: Math.max(width, 7 * Math.min(item.label.length, 30) + 20), height: height + 20 }; }
  const longest = Math.max(7 * (clipped(titleOf(item)).length + (item.members ? 3 : 0) + (item.word ? 3 : 0)), 5.6 * clipped(shortOf(item)).length);
  return { width: Math.max(64, longest + 20), height: 38 };
}

/* Edges that the layout keeps in order, and those it would spend most time on: the long ones, drawn over it */

function parted(group) {
  const first = group.members.filter((member) => member.op === "input"), others = group.members.filter((member) => member.op !== "input");
  const order = new Map(["in", ...first.map(({ id }) => String(id)), ...others.map(({ id }) => String(id)), "out"].map((id, i) => [id, i]));
  const edges = [...group.edges].map((edge) => edge.split(" ")), rank = new Map();
  const ahead = edges.map((ends) => [...ends].sort((a, b) => order.get(a) - order.get(b))).sort((a, b) => order.get(a[0]) - order.get(b[0]));
  for (const id of order.keys()) rank.set(id, 0);
  for (const [from, to] of ahead) rank.set(to, Math.max(rank.get(to), rank.get(from) + 1));
  const reached = new Set(ahead.map(([, to]) => to)), next = new Map();
  for (const [from, to] of ahead) next.set(from, Math.min(next.get(from) ?? Infinity, rank.get(to)));
  for (const [id, soonest] of next) if (!reached.has(id)) rank.set(id, soonest - 1);
  const span = ([from, to]) => Math.abs(rank.get(to) - rank.get(from));
  let left = LENGTHS;
  const near = edges.sort((a, b) => span(a) - span(b)).filter((edge) => span(edge) <= 1 || (left -= span(edge)) > 0);
  return { near, far: edges.slice(near.length) };
}

function layout(group) {
  if (group.plan) return group.plan;
  const graph = new dagre.graphlib.Graph().setGraph({ nodesep: 14, ranksep: 26, marginx: 10, marginy: 10, ranker: group.members.length > AT_ONCE ? "longest-path" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const member of group.members) graph.setNode(String(member.id), size(member));
  const { near, far } = parted(group);
  for (const end of [...near, ...far].flat()) if (!graph.hasNode(end)) graph.setNode(end, { width: 8, height: 8 });
  for (const ends of near) graph.setEdge(...ends);
  dagre.layout(graph);
  const { width, height } = graph.graph();
  const ports = ["in", "out"].filter((port) => graph.hasNode(port)).map((port) => graph.node(port));
  const places = group.members.map((member) => [member, graph.node(String(member.id))]);
  const over = far.map((ends) => ends.map((end) => graph.node(end)));
  group.plan = { width, height, ports, places, over, lines: graph.edges().map((edge) => graph.edge(edge).points) };
  return group.plan;
}

function visible(group = drawing.root) {
  return group.members.flatMap((member) => (member.open ? [member, ...visible(member)] : [member]));
}

function toggle(group, open = !group.open) {
  if (group === drawing.root || group.open === open) return;
  group.open = open;
  for (let above = group.parent; above; above = above.parent) above.plan = null;
}

function openLevel(most) {
  const shut = visible().filter((item) => item.members && !item.open);
  const more = shut.reduce((sum, group) => sum + group.members.length, visible().length);
  if (!shut.length || more > most) return false;
  shut.forEach((group) => toggle(group, true));
  return true;
}

/* Drawing */

function draw() {
  layer?.remove();
  layer = shape("g", { "aria-hidden": "true" });
  canvas.append(layer);
  place(drawing.root, 0, 0);
  look();
  list();
}

function place(group, left, top) {
  const { lines, over, ports, places } = layout(group);
  for (const [from, to] of over) {
    const [x, y, u, v] = [left + from.x, top + from.y + from.height / 2, left + to.x, top + to.y - to.height / 2].map(Math.round);
    layer.append(shape("path", { d: `M${x} ${y}C${x} ${y + 60} ${u} ${v - 60} ${u} ${v}`, class: "far", "marker-end": "url(#arrow)" }));
  }
  for (const points of lines) {
    const path = points.map(({ x, y }) => `${(left + x).toFixed(1)} ${(top + y).toFixed(1)}`).join("L");
    layer.append(shape("path", { d: `M${path}`, "marker-end": "url(#arrow)" }));
  }
  for (const { x, y } of ports) layer.append(shape("circle", { cx: left + x, cy: top + y, r: 4, class: "port" }));
  for (const [item, { x, y, width, height }] of places) box(item, left + x - width / 2, top + y - height / 2, width, height);
}

function box(item, x, y, width, height) {
  item.box = { x, y, width, height };
  const kinds = ["item", item.members && "scope", item === chosen && "chosen", hits.includes(item) && "hit"];
  const made = shape("g", { class: kinds.filter(Boolean).join(" "), "data-id": item.id });
  const fill = item.open ? "" : colours.of(item);
  made.append(shape("title", {}, `${titleOf(item)} ${wordsOf(item)}`));
  made.append(shape("rect", { x, y, width, height, rx: 5, style: fill ? `fill:${fill};fill-opacity:1` : item.members ? "" : "fill:var(--box)" }));
  const sign = item.open ? "▾ " : item.members ? "▸ " : "";
  const mark = !item.open && marks[item.word] ? ` ${marks[item.word]}` : "";
  made.append(shape("text", { x: x + 8, y: y + 15 }, sign + clipped(titleOf(item)) + mark));
  if (!item.open) made.append(shape("text", { x: x + 8, y: y + 30, class: "sub" }, clipped(shortOf(item))));
  layer.append(made);
  if (item.open) place(item, x, y + 20);
}

function look() {
  layer.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.zoom})`);
}

function fit() {
  const { width, height } = layout(drawing.root), { clientWidth, clientHeight } = canvas;
  view.zoom = Math.min(1.2, Math.max(LEAST_ZOOM, Math.min(clientWidth / width, clientHeight / height)));
  view.x = (clientWidth - width * view.zoom) / 2;
  view.y = Math.max(0, (clientHeight - height * view.zoom) / 2);
  const first = drawing.root.members.find((member) => !member.members && member.op === "input");
  if (width * view.zoom > clientWidth && first?.box) view.x = clientWidth / 2 - (first.box.x + first.box.width / 2) * view.zoom;
  look();
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const next = Math.min(4, Math.max(0.02, view.zoom * factor)), ratio = next / view.zoom;
  Object.assign(view, { x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, zoom: next });
  look();
}

function centre({ box: { x, y, width, height } }) {
  view.zoom = Math.max(view.zoom, 0.7);
  view.x = canvas.clientWidth / 2 - (x + width / 2) * view.zoom;
  view.y = canvas.clientHeight / 2 - (y + Math.min(height, 60) / 2) * view.zoom;
  look();
}

/* Colours */

function colouring(by) {
  const known = drawing.leaves.map(({ error }) => error).filter((error) => error > 0 && error < Infinity);
  const span = known.map(Math.log10).reduce(([least, most], power) => [Math.min(least, power), Math.max(most, power)], known.length ? [Infinity, -Infinity] : [0, 0]);
  const step = (span[1] - span[0]) / SHADES;
  const shade = (error) => (error === 0 ? 0 : error === Infinity ? SHADES - 1 : Math.min(SHADES - 1, step ? Math.floor((Math.log10(error) - span[0]) / step) : SHADES - 1));
  const hue = (op) => `hsl(${[...op].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7)} 55% var(--light, 86%))`;
  const range = (i) => `${shown(10 ** (span[0] + i * step), 1)} to ${shown(10 ** (span[0] + (i + 1) * step), 1)}`;
  return {
    outcome: { of: ({ word }) => word && `var(--${word})`, legend: () => OUTCOMES.filter((word) => word && drawing.leaves.some((leaf) => leaf.word === word)).map((word) => [`${marks[word]} ${word}`, `var(--${word})`]) },
    error: { of: ({ error }) => (error == null ? "" : `var(--e${shade(error)})`), legend: () => [[drawing.measure], ...(step ? [...Array(SHADES).keys()].map((i) => [range(i), `var(--e${i})`]) : [[known.length ? shown(known[0]) : "0", `var(--e${known.length ? SHADES - 1 : 0})`]]), ["not measured", ""]] },
    operator: { of: (item) => (item.members || item.op === "input" || item.op === "output" ? "" : hue(item.op)), legend: () => [["each kind of operator has a colour"]] },
    nothing: { of: () => "", legend: () => [] },
  }[by];
}

function recolour() {
  colours = colouring($("colour").value);
  $("legend").replaceChildren(...colours.legend().map(([words, colour]) => {
    const made = element("span", { textContent: words, className: colour === undefined ? "" : "shade" });
    if (colour) made.style.setProperty("--c", colour);
    return made;
  }));
}

/* The list, and what is chosen */

function list() {
  const row = (item) => {
    const words = item.members ? ` ${item.count.toLocaleString("en")}` : ` ${clipped(shortOf(item), 40)}`;
    const sign = item.members ? (item.open && !hits.length ? "▾ " : "▸ ") : marks[item.word] ? `${marks[item.word]} ` : "";
    const line = element("span", { className: "row" }, sign + titleOf(item), element("small", { textContent: words }));
    const made = element("li", { role: "treeitem", tabIndex: -1 }, line);
    made.dataset.id = item.id;
    made.setAttribute("aria-selected", item === chosen);
    made.setAttribute("aria-label", [titleOf(item), wordsOf(item), item.word].filter(Boolean).join(", "));
    if (item.members && !hits.length) {
      made.setAttribute("aria-expanded", item.open);
      if (item.open) made.append(element("ul", { role: "group" }, ...item.members.map(row)));
    }
    return made;
  };
  tree.replaceChildren(...(hits.length ? hits.slice(0, MOST_LISTED) : drawing.root.members).map(row));
  (tree.querySelector("[aria-selected=true]") || tree.querySelector("li"))?.setAttribute("tabindex", 0);
}

function choose(item, reveal = false) {
  chosen = item;
  for (let above = item.parent; above; above = above.parent) toggle(above, true);
  draw();
  if (reveal) centre(item);
  tree.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  tell(item);
}

function tell(item) {
  const rows = item.members ? ofGroup(item) : ofLeaf(item);
  const entries = rows.filter(([, told]) => told && told.length).flatMap(([term, told]) => [
    element("dt", { textContent: term }),
    element("dd", {}, ...(typeof told === "string" ? [told] : told)),
  ]);
  details.replaceChildren(element("dl", {}, ...entries));
}

function ofLeaf(item) {
  const others = (ids) => [
    ...ids.slice(0, 12).map((id) => {
      const other = drawing.leaves[id], made = element("button", { type: "button", textContent: clipped(`${other.native} ${other.name}`, 44) });
      made.addEventListener("click", () => choose(other, true));
      return made;
    }),
    ...(ids.length > 12 ? [`and ${ids.length - 12} more`] : []),
  ];
  return [
    ["operator", item.native], ["name", item.name], ["in the hub", item.op === item.native ? "" : item.op],
    ["outcome", item.word && `${marks[item.word] ?? ""} ${item.word}${item.detail ? `: ${item.detail}` : ""}`],
    [drawing.measure, item.error == null ? "" : shown(item.error)],
    ["results", item.results.join("\n")], ["reads", others(item.reads)], ["read by", others(item.readers)],
  ];
}

function ofGroup(group) {
  const counts = new Map(), words = new Map();
  const leaves = (one) => one.members.forEach((member) => (member.members ? leaves(member) : (counts.set(member.native, (counts.get(member.native) || 0) + 1), words.set(member.word, (words.get(member.word) || 0) + 1))));
  leaves(group);
  const listed = (map) => [...map].filter(([word]) => word).sort((a, b) => b[1] - a[1]).slice(0, 12).map(([word, count]) => `${count} × ${word}`).join(", ");
  return [["scope", titleOf(group)], ["operators", listed(counts)], ["outcomes", listed(words)], [`worst ${drawing.measure}`, group.error == null ? "" : shown(group.error)]];
}

function search() {
  const words = $("search").value.trim().toLowerCase();
  hits = words ? drawing.leaves.filter((leaf) => `${leaf.native} ${leaf.op} ${leaf.name} ${leaf.results.join(" ")}`.toLowerCase().includes(words)) : [];
  $("found").textContent = words ? `${plural(hits.length, "operator")} found${hits.length > MOST_LISTED ? `, the first ${MOST_LISTED} listed` : ""}${hits.length ? "; Enter goes to the next" : ""}` : "";
  draw();
}

/* What a person does */

const itemOf = (target) => {
  const id = target.closest?.("[data-id]")?.dataset.id;
  return id === undefined ? null : id < drawing.leaves.length ? drawing.leaves[id] : drawing.groups[id - drawing.leaves.length];
};

function press(item) {
  if (!item.members || hits.length) return choose(item, hits.length > 0);
  const before = item.box;
  toggle(item);
  choose(item);
  if (before && item.box) { view.x += (before.x - item.box.x) * view.zoom; view.y += (before.y - item.box.y) * view.zoom; look(); }
}

function onTreeKey(event) {
  const items = [...tree.querySelectorAll("li")], at = items.indexOf(document.activeElement), item = itemOf(document.activeElement);
  if (at < 0 || !item) return;
  const go = (target) => { if (target) { items.forEach((li) => (li.tabIndex = -1)); target.tabIndex = 0; target.focus(); } };
  const again = () => go(tree.querySelector(`[data-id="${item.id}"]`));
  const shut = item.members && !hits.length;
  const actions = {
    ArrowDown: () => go(items[at + 1]), ArrowUp: () => go(items[at - 1]), Home: () => go(items[0]), End: () => go(items.at(-1)),
    ArrowRight: () => (shut && !item.open ? (press(item), again()) : go(items[at].querySelector("li"))),
    ArrowLeft: () => (shut && item.open ? (press(item), again()) : go(items[at].parentElement.closest("li"))),
    Enter: () => { press(item); if (!item.members) centre(item); again(); }, " ": () => { press(item); again(); },
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
}

function onCanvasKey(event) {
  const move = (x, y) => { view.x += x; view.y += y; look(); };
  const actions = { ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
}

function watchPointers() {
  const held = new Map();
  let moved = 0, pressed = null;
  const apart = () => { const [a, b] = [...held.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
  canvas.addEventListener("pointerdown", (event) => {
    if (!held.size) { moved = 0; pressed = itemOf(event.target); }
    held.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const distance = held.size === 2 ? apart() : 0;
    held.set(event.pointerId, event);
    moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    if (held.size === 2) return zoom(apart() / distance);
    view.x += event.clientX - before.clientX;
    view.y += event.clientY - before.clientY;
    look();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (held.delete(event.pointerId) && moved < 5 && pressed) press(pressed);
  });
  canvas.addEventListener("pointercancel", (event) => held.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
    event.preventDefault();
    const { left, top } = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - left, event.clientY - top);
  }, { passive: false });
}

function show(number) {
  drawing = read(drawings[number]);
  [chosen, hits] = [null, []];
  $("search").value = "";
  const ways = ["outcome", "error", "operator", "nothing"];
  const known = { outcome: drawing.leaves.some((leaf) => leaf.word), error: drawing.leaves.some((leaf) => leaf.error != null), operator: true, nothing: true };
  $("colour").replaceChildren(...ways.filter((way) => known[way]).map((way) => element("option", { value: way, textContent: way === "error" ? drawing.measure : way })));
  while (openLevel(AT_ONCE));
  recolour();
  draw();
  fit();
}

canvas.innerHTML = '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="arrow" d="M0 0L8 4L0 8z"/></marker></defs>';
$("which").replaceChildren(...drawings.map(({ title }, i) => element("option", { value: i, textContent: title })));
$("which-label").hidden = drawings.length < 2;
$("which").addEventListener("input", (event) => show(Number(event.target.value)));
$("colour").addEventListener("input", () => { recolour(); draw(); });
$("search").addEventListener("input", search);
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.value = ""; search(); }
  if (event.key === "Enter" && hits.length) choose(hits[(hits.indexOf(chosen) + 1) % hits.length], true);
});
$("in").addEventListener("click", () => zoom(1.25));
$("out").addEventListener("click", () => zoom(0.8));
$("fit").addEventListener("click", fit);
$("open").addEventListener("click", () => {
  $("found").textContent = openLevel(MOST_DRAWN) ? "" : "All is open, or more than can be drawn at once would be: open single scopes.";
  draw();
});
$("close").addEventListener("click", () => { drawing.groups.forEach((group) => toggle(group, false)); draw(); fit(); });
tree.addEventListener("click", (event) => {
  const item = itemOf(event.target);
  if (item) { press(item); if (!item.members) centre(item); }
});
tree.addEventListener("keydown", onTreeKey);
canvas.addEventListener("keydown", onCanvasKey);
watchPointers();
show(0);
})();
