// The page: connects state, connection and views, and draws at most once a frame.

import { activeItem, completedItem, failedItem, waitingRow } from "./files.js";
import * as format from "./format.js";
import { Header } from "./header.js";
import { icon, setIcon } from "./icons.js";
import { Live } from "./live.js";
import { Rows, attribute, h, text } from "./nodes.js";
import { Pages } from "./pages.js";
import { routeCard } from "./routes.js";
import { Session, answerOf } from "./session.js";
import { State } from "./state.js";
import { VirtualList } from "./table.js";

const ACTIVE_SHOWN = 100;
const TOAST_MS = 15_000;

const byId = (id) => document.getElementById(id);
const state = new State();
let receivedAt = 0;
let locked = false;
let drawing = false;

const session = new Session(byId("token"), () => {
  locked = false;
  live.reconnect();
});
const live = new Live(session, { onMessage, onChange: redraw, onRefused: checkAccess });
const pages = new Pages(state, session, redraw);
const header = new Header({ reconnect: () => live.reconnect(), askToken: () => session.ask() });
const filter = byId("filter");
const waitingTable = byId("waiting").querySelector("[role=table]");

const lists = {
  waiting: new VirtualList(byId("waiting"), waitingRow, redraw),
  failed: new VirtualList(byId("failed"), () => failedItem({ retry }), redraw),
  completed: new VirtualList(byId("recent"), completedItem, redraw),
};
const cards = new Rows(byId("routes"), () => routeCard({ pause, resume }));
const transfers = new Rows(byId("transfers"), () => activeItem({ cancel }));
const events = new Rows(byId("events"), eventItem);

function onMessage(message) {
  const isInOrder = state.apply(message, performance.now());
  if (isInOrder) receivedAt = Date.now();
  if (message.type === "snapshot") pages.reset();
  redraw();
  return isInOrder;
}

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

function draw() {
  drawing = false;
  const nowMs = Date.now();
  header.draw({ state, live, receivedAt, locked }, nowMs);
  document.documentElement.dataset.link = live.state;
  if (!receivedAt) return;
  byId("main").hidden = false;
  cards.show([...state.routes].map(([name, route]) => [name, route, nowMs]));
  drawTransfers(nowMs);
  for (const [group, list] of Object.entries(lists)) {
    const files = state.list(group, filter.value);
    const total = filter.value ? files.length : state.count(group);
    list.show(files, total, nowMs);
    drawPanel(list.scroller, files.length, group);
    if (group === "waiting") attribute(waitingTable, "aria-rowcount", total + 1);
    if (list.atEnd) fetchMore(group);
  }
  byId("retry-all").hidden = state.count("failed") === 0;
  drawEvents(nowMs);
}

function drawTransfers(nowMs) {
  const files = state.list("active", filter.value);
  const rateOf = (file) => state.rates.get(file.id).perSecond(performance.now());
  transfers.show(files.slice(0, ACTIVE_SHOWN).map((file) => [file.id, file, rateOf(file), nowMs]));
  drawPanel(byId("transfers"), files.length, "active");
  if (files.length < ACTIVE_SHOWN) fetchMore("active");
}

/** Of many files the page holds only some; others are fetched when they come into view or are searched for. */
function fetchMore(group) {
  const query = nextPage(group);
  if (query) pages.fetch(query);
}

function nextPage(group) {
  const search = filter.value && `search=${encodeURIComponent(filter.value)}`;
  return state.missing(group).map((status) => search || `status=${status}`).find((query) => !pages.ended(query));
}

/** The number in a panel's title, and the text of an empty panel. */
function drawPanel(list, shown, group) {
  const panel = list.closest(".panel");
  const total = state.count(group);
  const more = nextPage(group) ? "+" : "";
  const some = !filter.value || shown === total ? "" : `${format.number(shown)}${more} of `;
  text(panel.querySelector(".count"), `${some}${format.number(total)}`);
  list.hidden = shown === 0;
  panel.querySelector(".empty").hidden = shown > 0 || (total > 0 && !filter.value);
}

function drawEvents(nowMs) {
  byId("events-panel").hidden = state.events.length === 0;
  text(byId("events-panel").querySelector(".count"), format.number(state.events.length));
  events.show(state.events.map((event, index) => [index, event, nowMs]).reverse());
}

function eventItem() {
  const mark = icon("warning");
  const at = h("time");
  const words = h("span");
  const node = h("li", {}, mark, at, words);
  return {
    node,
    update(event, nowMs) {
      attribute(node, "data-level", event.level);
      setIcon(mark, event.level === "error" ? "fail" : "warning");
      text(at, format.clock(event.at, nowMs));
      attribute(at, "datetime", event.at);
      text(words, format.visible(event.text));
    },
  };
}

async function checkAccess() {
  const before = locked;
  locked = await session.locked();
  redraw();
  if (locked && !before) await session.ask();
}

const pause = (route) => run(`api/routes/${encodeURIComponent(route.name)}/pause`);
const resume = (route) => run(`api/routes/${encodeURIComponent(route.name)}/resume`);
const retry = (file) => run(`api/files/${encodeURIComponent(file.id)}/retry`);

async function cancel(file) {
  const dialog = byId("confirm");
  text(dialog.querySelector(".subject"), format.visible(file.path));
  if ((await answerOf(dialog)) === "ok") await run(`api/files/${encodeURIComponent(file.id)}/cancel`);
}

async function run(path) {
  const problem = await session.command(path);
  if (problem) toast(problem);
}

function toast(words) {
  const dismiss = { type: "button", "aria-label": "Dismiss", onclick: () => note.remove() };
  const close = h("button", dismiss, icon("fail"));
  const note = h("div", { class: "toast" }, icon("warning"), h("p", {}, words), close);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), TOAST_MS);
}

byId("retry-all").addEventListener("click", () => run("api/retry"));
filter.addEventListener("input", redraw);
setInterval(redraw, 1000);
live.reconnect();
