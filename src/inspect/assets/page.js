// The page of an operator: what the controller did with each channel, and whether it was right.

import { Charts } from './charts.js';
import { byId, clock, element, getJson } from './common.js';
import { keyOf, mergeDecisions, renderExplanation, renderLog, renderNoExplanation } from './decisions.js';
import {
  prepareOverview, ratesBetween, renderBudget, renderCalibration, renderFacts, renderOverview, renderPlacement,
} from './panels.js';
import { append, appendSeries, bucketMs, emptySeries } from './series.js';

/** Decisions kept in the log, and of the chosen channel for the markers. */
const DECISIONS_KEPT = 500;
const DECISIONS_PAGE = 100;
const HISTORY_POINTS = 600;
/** The server speaks each second: after this it is taken for lost. */
const SILENCE_MS = 5000;
/** Over less time than this, what was sent a second is mostly noise. */
const SHORTEST_RATE_MS = 500;
const RECONNECT_MS = 2000;
const CALIBRATION_MS = 10_000;
/** A reader of the screen is told of no more than one decision in this time. */
const ANNOUNCE_MS = 4000;

const state = {
  overview: null,
  rates: new Map(),
  channel: null,
  windowMs: 60_000,
  paused: false,
  series: emptySeries(60_000),
  /** The newest point that the charts show. */
  drawnMs: 0,
  markers: [],
  filters: { channel: '', action: '', reason: '' },
  log: [],
  logNext: null,
  /** The decision in the address, as { channel, id }, and as the server tells it once it has answered. */
  asked: null,
  explained: null,
  stream: null,
  heardAtMs: 0,
  silenceTimer: 0,
  connectionLost: false,
  failures: new Map(),
  announcedAtMs: 0,
  dirty: new Set(),
};

const charts = new Charts((decision) => openDecision(decision));

// Rendering: whatever changes asks for it, and it happens once a frame.

function schedule(render) {
  if (state.dirty.size === 0) requestAnimationFrame(renderDirty);
  state.dirty.add(render);
}

function renderDirty() {
  const renders = [...state.dirty];
  state.dirty.clear();
  for (const render of renders) render();
}

function renderCharts() {
  byId('channel').hidden = state.channel === null;
  byId('calibration-panel').hidden = state.channel === null;
  if (state.channel === null) return;
  state.drawnMs = state.series.latestMs;
  charts.draw({ series: state.series, markers: state.markers, channel: state.channel, open: state.explained });
}

function renderChannels() {
  const { channels, budget } = state.overview;
  renderOverview(channels, state.rates, state.channel, chooseChannel);
  renderBudget(budget);
  renderPlacement(channels);
  const chosen = channels.find(({ name }) => name === state.channel);
  renderFacts(state.channel, chosen);
  offerChannels();
}

function renderDecisions() {
  const filtered = state.filters.action !== '' || state.filters.reason !== '';
  renderLog(byId('decisions'), state.log, state.explained && keyOf(state.explained), openDecision);
  byId('log-empty').hidden = state.log.length > 0;
  byId('log-empty').textContent = filtered
    ? 'No decision fits these filters yet.'
    : 'No decision yet: the controller writes one when it changes a ring or a wait strategy.';
  const full = state.log.length >= DECISIONS_KEPT;
  byId('older').hidden = state.logNext === null || full;
  byId('log-full').hidden = !full;
}

function renderNotice() {
  const texts = [...state.failures].map(([what, why]) => `Could not load ${what}: ${why}.`);
  if (state.connectionLost) {
    const heard = state.heardAtMs ? ` What is shown was heard until ${clock(state.heardAtMs)}.` : '';
    texts.unshift(`Connection lost, trying again.${heard}`);
  }
  byId('notice').textContent = texts.join(' ');
  byId('notice').hidden = texts.length === 0;
  byId('connection').textContent = state.connectionLost ? 'Not connected' : 'Live';
  byId('connection').classList.toggle('is-lost', state.connectionLost);
}

function announce({ channel, sentence }) {
  if (Date.now() - state.announcedAtMs < ANNOUNCE_MS) return;
  state.announcedAtMs = Date.now();
  byId('announcement').textContent = `${channel}: ${sentence}`;
}

// Loading. An answer that comes after something else was asked for is dropped.

async function load(what, path, parameters, isWanted, use) {
  try {
    const answer = await getJson(path, parameters);
    if (!isWanted()) return;
    state.failures.delete(what);
    use(answer);
  } catch (error) {
    if (isWanted()) state.failures.set(what, error.message);
  }
  renderNotice();
}

function loadHistory() {
  const { channel, windowMs, series: begunWith } = state;
  const isWanted = () => state.series === begunWith;
  const parameters = { channel, seconds: windowMs / 1000, points: HISTORY_POINTS };
  return load('the history', '/history', parameters, isWanted, (answer) => {
    const loaded = emptySeries(windowMs);
    append(loaded, answer);
    appendSeries(loaded, begunWith);
    state.series = loaded;
    schedule(renderCharts);
  });
}

function loadMarkers() {
  const { channel, windowMs } = state;
  const isWanted = () => state.channel === channel && state.windowMs === windowMs;
  const parameters = { channel, since_ms: Date.now() - windowMs, limit: DECISIONS_KEPT };
  return load('the markers', '/decisions', parameters, isWanted, ({ decisions }) => {
    state.markers = mergeDecisions(decisions, state.markers, DECISIONS_KEPT);
    schedule(renderCharts);
  });
}

function loadLog(before = null) {
  const { filters } = state;
  const isWanted = () => state.filters === filters;
  const parameters = { ...filters, before, limit: DECISIONS_PAGE };
  return load('the decisions', '/decisions', parameters, isWanted, ({ decisions, next }) => {
    // After a lost connection there may be a gap before the newest page: what is older than it goes.
    const oldestMs = before === null ? (decisions.at(-1)?.at_unix_ms ?? 0) : 0;
    const kept = state.log.filter((decision) => decision.at_unix_ms >= oldestMs);
    state.log = mergeDecisions(decisions, kept, DECISIONS_KEPT);
    state.logNext = next;
    schedule(renderDecisions);
  });
}

function loadCalibration() {
  const { channel } = state;
  return load('the calibration', '/models', {}, () => state.channel === channel, ({ models }) => {
    renderCalibration(models.find((model) => model.channel === channel));
  });
}

async function loadExplanation() {
  const { asked } = state;
  try {
    const { decision, explanation } = await getJson('/explain', asked);
    if (state.asked !== asked) return;
    state.explained = decision;
    renderExplanation(decision, explanation);
  } catch (error) {
    if (state.asked !== asked) return;
    renderNoExplanation(asked.channel, asked.id, error.message);
  }
  byId('explanation').hidden = false;
  schedule(renderCharts);
  schedule(renderDecisions);
}

// What the server tells by itself.

function connect() {
  state.stream?.close();
  const parameters = state.channel === null ? {} : { channel: state.channel };
  const stream = new EventSource(`/events?${new URLSearchParams(parameters)}`);
  const listen = (event, use) => stream.addEventListener(event, ({ data }) => use(JSON.parse(data)));
  stream.addEventListener('open', loadAll);
  stream.addEventListener('error', () => {
    loseConnection();
    // The browser tries again by itself, but not after an answer that is no stream.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => state.stream === stream && connect(), RECONNECT_MS);
  });
  listen('channels', takeOverview);
  listen('points', takePoints);
  listen('decision', takeDecision);
  state.stream = stream;
}

function loadAll() {
  loadLog();
  if (state.channel === null) return;
  if (!state.paused || state.series.t_ms.length === 0) loadHistory();
  loadMarkers();
  loadCalibration();
}

function loseConnection() {
  state.connectionLost = true;
  renderNotice();
}

function takeOverview(overview) {
  if (state.overview && overview.now_ms - state.overview.now_ms > SHORTEST_RATE_MS) {
    state.rates = ratesBetween(state.overview, overview);
  }
  state.overview = overview;
  state.heardAtMs = Date.now();
  state.connectionLost = false;
  state.failures.delete('the channels');
  clearTimeout(state.silenceTimer);
  state.silenceTimer = setTimeout(loseConnection, SILENCE_MS);
  renderNotice();
  schedule(renderChannels);
  if (state.channel === null && overview.channels.length > 0) chooseFirst(overview.channels);
  if (state.failures.size > 0 && overview.channels.some(({ name }) => name === state.channel)) loadAll();
}

function takePoints(answer) {
  if (state.paused || answer.channel !== state.channel) return;
  append(state.series, answer);
  // Less than a bucket of time would not show, but cost the machine as much.
  if (state.series.latestMs - state.drawnMs >= bucketMs(state.series)) schedule(renderCharts);
}

function takeDecision(decision) {
  if (decision.channel === state.channel) {
    state.markers = mergeDecisions(state.markers, [decision], DECISIONS_KEPT);
    if (!state.paused) schedule(renderCharts);
  }
  if (passes(decision, state.filters)) {
    state.log = mergeDecisions(state.log, [decision], DECISIONS_KEPT);
    schedule(renderDecisions);
    if (decision.outcome === null) announce(decision);
  }
  if (decision.outcome !== null && isAsked(decision)) loadExplanation();
}

function passes(decision, filters) {
  const isChange = filters.action === 'changes' && decision.action !== 'hold';
  return Object.entries(filters).every(([name, value]) => value === '' || decision[name] === value || (name === 'action' && isChange));
}

// Choosing. The address says which channel and which decision are shown, so that links and the back button work.

function isAsked({ channel, id, at_unix_ms: atMs }) {
  return state.asked?.channel === channel && state.asked.id === String(id) && state.asked.at_unix_ms === String(atMs);
}

function address(channel, decision) {
  const parameters = new URLSearchParams({ channel });
  if (decision) parameters.set('decision', `${decision.channel}/${decision.id}/${decision.at_unix_ms}`);
  return `/?${parameters}`;
}

function go(to) {
  history.pushState(null, '', to);
  followAddress();
}

function chooseChannel(name) {
  if (name !== state.channel) go(address(name));
}

function chooseFirst(channels) {
  const first = channels.find((channel) => channel.state === 'live') ?? channels[0];
  history.replaceState(null, '', address(first.name));
  followAddress();
}

async function openDecision(decision) {
  if (!isAsked(decision)) history.pushState(null, '', address(state.channel ?? decision.channel, decision));
  await followAddress();
  byId('explanation').scrollIntoView({ block: 'nearest' });
  byId('explanation-title').focus({ preventScroll: true });
}

function closeDecision() {
  if (state.asked === null) return;
  const { channel, id } = state.asked;
  go(address(state.channel));
  const items = [...byId('decisions').children];
  items.find((item) => item.dataset.channel === channel && item.dataset.id === id)?.firstChild.focus();
}

/** Shows what the address says; resolves when the decision in it is shown. */
async function followAddress() {
  const parameters = new URLSearchParams(location.search);
  showChannel(parameters.get('channel'));
  const [, channel, id, atMs] = parameters.get('decision')?.match(/^(.*)\/(\d+)\/(\d+)$/s) ?? [];
  await showDecision(channel === undefined ? null : { channel, id, at_unix_ms: atMs });
}

function showChannel(channel) {
  if (channel === state.channel && state.stream) return;
  state.channel = channel;
  state.series = emptySeries(state.windowMs);
  state.markers = [];
  state.failures.clear();
  document.title = channel === null ? 'Tidegate' : `${channel} · Tidegate`;
  filter({ channel: channel ?? '', action: '', reason: '' });
  if (state.overview) schedule(renderChannels);
  schedule(renderCharts);
  connect();
}

async function showDecision(asked) {
  if (asked !== null && isAsked(asked)) return;
  state.asked = asked;
  state.explained = null;
  if (asked !== null) {
    await loadExplanation();
    return;
  }
  byId('explanation').hidden = true;
  schedule(renderCharts);
  schedule(renderDecisions);
}

function filter(filters) {
  state.filters = filters;
  offerChannels();
  for (const [name, value] of Object.entries(filters)) byId('filters').elements[name].value = value;
  state.log = [];
  state.logNext = null;
  schedule(renderDecisions);
}

/** Makes the filter offer the channels in sight, and the one it is set to. */
function offerChannels() {
  const select = byId('filters').elements.channel;
  const inSight = state.overview?.channels.map(({ name }) => name) ?? [];
  const names = [...new Set(['', ...inSight, state.filters.channel])];
  // An open menu would close if it were built anew for nothing.
  if (names.join('\n') === [...select.options].map(({ value }) => value).join('\n')) return;
  select.replaceChildren(...names.map((name) => element('option', { value: name }, name || 'all')));
  select.value = state.filters.channel;
}

function setWindow(seconds) {
  state.windowMs = seconds * 1000;
  state.series = emptySeries(state.windowMs);
  loadHistory();
  loadMarkers();
}

function setPaused(paused) {
  state.paused = paused;
  byId('pause').setAttribute('aria-pressed', paused);
  byId('pause').textContent = paused ? 'Go on' : 'Pause';
  if (!paused) loadHistory();
}

function listenToOperator() {
  byId('window').addEventListener('change', ({ target }) => setWindow(Number(target.value)));
  byId('pause').addEventListener('click', () => setPaused(!state.paused));
  byId('older').addEventListener('click', () => loadLog(state.logNext));
  byId('explanation-close').addEventListener('click', closeDecision);
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('filters').addEventListener('change', ({ target }) => {
    filter({ ...state.filters, [target.name]: target.value });
    loadLog();
  });
  addEventListener('keydown', ({ key }) => key === 'Escape' && closeDecision());
  addEventListener('popstate', followAddress);
}

document.documentElement.classList.add('scripted');
prepareOverview();
byId('decisions').replaceChildren();
listenToOperator();
setInterval(() => state.channel !== null && loadCalibration(), CALIBRATION_MS);
load('the channels', '/channels', {}, () => state.overview === null, takeOverview);
followAddress();
