// The overview of all channels, the budget, the placement map, and what is known of one channel.

import { bar, byId, bytes, count, element, pair, percent, whole, words } from './common.js';

/** On machines with more cores than this, those where nobody ran are left out of the map. */
const CORES_SHOWN = 32;

const STATES = { live: '●', idle: '○', gone: '✕' };

const COLUMNS = [
  { title: 'State', cell: ({ state }) => stateMark(state) },
  { title: 'Messages/s', kind: 'number spare', cell: (_channel, rate) => (rate ? count(rate.messages) : '–') },
  { title: 'Bytes/s', kind: 'number', cell: (_channel, rate) => (rate ? `${bytes(rate.bytes)}/s` : '–') },
  { title: 'Backlog of capacity', kind: 'fullness', cell: fullness },
  { title: 'Strategy', kind: 'spare', cell: ({ strategy }) => strategy },
  { title: 'Decisions', kind: 'number spare', cell: ({ decisions }) => whole(decisions) },
];

function stateMark(state) {
  return element('span', { class: `state ${state}` }, `${STATES[state] ?? '?'} ${state}`);
}

function fullness({ backlog_bytes: backlog, capacity_bytes: capacity }) {
  const share = capacity > 0 ? backlog / capacity : 0;
  return element('span', {}, `${bytes(backlog)} of ${bytes(capacity)}`, bar(share, share > 0.9 ? 'full' : ''));
}

/** What each channel sent a second between two overviews. */
export function ratesBetween(before, after) {
  const seconds = (after.monotonic_ms - before.monotonic_ms) / 1000;
  const earlier = new Map(before.channels.map((channel) => [channel.name, channel]));
  const rates = new Map();
  for (const channel of after.channels) {
    const past = earlier.get(channel.name);
    // A channel that was made anew under its old name has sent less than before.
    if (!past || seconds <= 0 || channel.sent_messages < past.sent_messages) continue;
    rates.set(channel.name, {
      messages: (channel.sent_messages - past.sent_messages) / seconds,
      bytes: (channel.sent_bytes - past.sent_bytes) / seconds,
    });
  }
  return rates;
}

export function prepareOverview() {
  const columns = [{ title: 'Channel' }, ...COLUMNS];
  const heads = columns.map(({ title, kind = '' }) => element('th', { scope: 'col', class: kind }, title));
  byId('channels').tHead.rows[0].replaceChildren(...heads);
  byId('channels').tBodies[0].replaceChildren();
}

/** Updates the rows in place, so that the one with the focus keeps it. */
export function renderOverview(channels, rates, chosen, choose) {
  const body = byId('channels').tBodies[0];
  const names = new Set(channels.map(({ name }) => name));
  for (const row of [...body.rows]) if (!names.has(row.dataset.channel)) row.remove();
  const rows = new Map([...body.rows].map((row) => [row.dataset.channel, row]));
  channels.forEach((channel, place) => {
    const row = rows.get(channel.name) ?? newRow(channel.name, choose);
    row.classList.toggle('is-chosen', channel.name === chosen);
    row.querySelector('a').setAttribute('aria-current', channel.name === chosen);
    COLUMNS.forEach(({ cell }, index) => row.cells[index + 1].replaceChildren(cell(channel, rates.get(channel.name))));
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  byId('channels').hidden = channels.length === 0;
  byId('channels-empty').hidden = channels.length > 0;
}

function newRow(name, choose) {
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(name);
  };
  const link = element('a', { href: `/?${new URLSearchParams({ channel: name })}` }, name);
  const cells = COLUMNS.map(({ kind = '' }) => element('td', { class: kind }));
  return element('tr', { 'data-channel': name, click }, element('td', {}, link), ...cells);
}

export function renderBudget(budget) {
  const text = budget
    ? `${bytes(budget.used)} of ${bytes(budget.bytes)} used`
    : 'None is set: each channel grows within its own bounds.';
  const parts = budget ? [bar(budget.used / budget.bytes, budget.used > 0.9 * budget.bytes ? 'full' : '')] : [];
  byId('budget').replaceChildren(element('p', {}, text), ...parts);
}

export function renderPlacement(channels) {
  const endpoints = channels.flatMap(({ name, senders, receivers }) => [
    ...senders.map((sender) => ({ ...sender, name, role: 'S' })),
    ...receivers.map((receiver) => ({ ...receiver, name, role: 'R' })),
  ]);
  const used = new Set(endpoints.map(({ cpu }) => cpu));
  const highest = Math.max(-1, ...[...used].filter((core) => core !== null));
  const cores = [...Array(highest + 1).keys()].filter((core) => used.has(core) || highest < CORES_SHOWN);
  if (used.has(null)) cores.push(null);
  const none = element('li', { class: 'empty' }, 'No process is attached to a channel.');
  const cells = cores.map((core) => coreCell(core, endpoints.filter(({ cpu }) => cpu === core)));
  byId('placement').replaceChildren(...(cells.length > 0 ? cells : [none]));
}

function coreCell(core, endpoints) {
  const marks = endpoints.map(({ role, pid, name }) =>
    element('li', {}, element('b', { class: role }, role), ` ${pid} `, element('small', {}, name)));
  return element('li', { class: 'core' }, core === null ? 'Core not known' : `Core ${core}`, element('ul', {}, ...marks));
}

/** The numbers of one channel that no chart shows; none of one that is not in sight. */
export function renderFacts(name, channel) {
  byId('channel-title').replaceChildren(...(channel ? [name, ' ', stateMark(channel.state)] : [`${name}: not in sight`]));
  byId('facts').replaceChildren(...(channel ? factsOf(channel) : []));
}

function factsOf(channel) {
  const { sender_waits: sending, receiver_waits: receiving } = channel;
  const facts = [
    ['Controller', channel.controller_pid === null ? 'none' : `process ${channel.controller_pid}`],
    ['Forecast', words(channel.forecast)],
    ['Order', words(channel.order)],
    ['Backlog', `${whole(channel.backlog_messages)} messages`],
    ['Senders', `${channel.senders.length}, ${sending.waiting} waiting`],
    ['Receivers', `${channel.receivers.length}, ${receiving.waiting} waiting`],
    ['Stalls', whole(channel.stalls)],
    ['Rings entered', whole(channel.ring_epochs)],
    ['Rejected', whole(channel.rejected)],
    ['Dropped', whole(channel.dropped)],
    ['Parks', `${whole(sending.parks)} S, ${whole(receiving.parks)} R`],
  ];
  return facts.map(pair);
}

/** The histogram of what came as a share of what was forecast, and whether the promise was kept. */
export function renderCalibration(model) {
  if (!model || model.judged === 0) {
    const none = element('p', { class: 'empty' }, 'No forecast was judged yet: that takes some traffic.');
    byId('calibration').replaceChildren(none);
    return;
  }
  const { judged, within, tau, realised } = model;
  const facts = [['Promised', percent(tau)], ['Kept', percent(within / judged)], ['Forecasts judged', whole(judged)],
    ['In charge', words(model.forecast)]];
  const coverage = element('dl', { class: 'coverage' }, ...facts.map(pair));
  const made = Object.entries(model.forecasts).filter(([, count]) => count > 0).map(([by, count]) => `${words(by)} ${whole(count)}`);
  const whose = model.only_watched ? 'These are forecasts of who watches from here, not of a controller. ' : '';
  const why = element('p', { class: 'why' }, `${whose}Why: ${model.reason}. Forecasts by: ${made.join(', ')}.`);
  byId('calibration').replaceChildren(coverage, why, histogram(realised));
}

function histogram(realised) {
  const total = realised.reduce((sum, { windows }) => sum + windows, 0) || 1;
  const largest = Math.max(...realised.map(({ windows }) => windows), 1);
  const bins = realised.map(({ upto, windows }) => {
    const share = windows / total;
    const column = element('span', { class: 'column', 'aria-hidden': 'true' });
    column.style.height = `${(100 * windows) / largest}%`;
    return element('li', { class: upto === null ? 'miss' : '' },
      element('span', { class: 'room' }, element('span', { class: 'ticks' }, percent(share, share < 0.1 ? 1 : 0)), column),
      element('span', {}, upto === null ? '> 1' : upto.toFixed(1)));
  });
  const caption = 'The peak that came ÷ the peak forecast, up to the number below each bar. More than 1 is a miss.';
  return element('figure', {}, element('ol', { class: 'histogram' }, ...bins), element('figcaption', {}, caption));
}
