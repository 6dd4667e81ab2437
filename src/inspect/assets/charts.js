// The charts of one channel, the markers of its decisions, and the ribbon of its wait strategies, on one time axis.

import { byId, bytes, clock, count, element, percent } from './common.js';
import { actionGlyph, keyOf, verdict } from './decisions.js';
import { strategyRuns } from './series.js';

const { uPlot } = window;

const KIB = 1024;
const TIME_STEPS_MS = [1, 2, 5, 10, 15, 30, 60, 120].map((seconds) => seconds * 1000);
const RIBBON_HEIGHT = 20;
const STRATEGY_COLOURS = 6;

export class Charts {
  #openDecision;
  #theme;
  #plots = [];
  #view = null;
  #markers = new Map();
  // A strategy keeps its colour for as long as the page is open.
  #strategyColours = new Map();

  constructor(openDecision) {
    this.#openDecision = openDecision;
    this.#build();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#build());
    new ResizeObserver(() => this.#resize()).observe(byId('chart'));
  }

  /** Shows `series`, the decisions `markers` of the same channel, and which of them is open. */
  draw(view) {
    this.#view = view;
    const { series } = view;
    const max = series.latestMs || Date.now();
    const range = { min: max - series.windowMs, max };
    for (const { plot, columns } of this.#plots) {
      plot.batch(() => {
        plot.setData([series.t_ms, ...columns.map((name) => series[name])], false);
        plot.setScale('x', range);
        plot.setLegend({ idx: plot.cursor.idx ?? null }, false);
      });
    }
    byId('chart').classList.toggle('is-empty', series.t_ms.length === 0);
    this.#drawMarkers(range);
    this.#drawRibbon(range);
  }

  #build() {
    this.#theme = readTheme();
    for (const { plot } of this.#plots) plot.destroy();
    const { colour } = this.#theme;
    const backlog = { ...line('backlog', colour.backlog, bytes), fill: colour['backlog-area'] };
    const forecast = { ...line('forecast', colour.forecast, bytes), dash: [5, 3] };
    const capacity = { ...line('capacity', colour.capacity, bytes), paths: uPlot.paths.stepped({ align: 1 }) };
    const rate = (value) => `${bytes(value)}/s`;
    const share = (value) => percent(value, 0);
    const arrived = { ...line('arrived', colour.arrivals, rate), fill: colour['arrivals-area'] };
    const senders = line('senders', colour.sender, share);
    const receivers = { ...line('receivers', colour.receiver, share), dash: [5, 3] };
    this.#plots = [
      this.#plot('chart', { backlog_bytes: backlog, forecast_bytes: forecast, capacity_bytes: capacity }, byteScale(), {
        bands: [{ series: [2, 1], fill: colour['forecast-band'] }],
      }),
      this.#plot('arrivals', { arrived_bytes_s: arrived }, rateScale(), { timeAxis: false }),
      this.#plot('waits', { sender_wait_share: senders, receiver_wait_share: receivers }, shareScale()),
    ];
    if (this.#view) this.draw(this.#view);
  }

  #plot(id, lines, { scale, splits, label }, { timeAxis = true, bands = [] } = {}) {
    const container = byId(id);
    const { colour, axisWidth, marginRight } = this.#theme;
    const grid = { stroke: colour.grid, width: 1 };
    const axis = { stroke: colour.quiet, font: this.#theme.font, grid, ticks: { show: false } };
    const options = {
      bands,
      width: container.clientWidth,
      height: container.clientHeight,
      ms: 1,
      padding: [8, marginRight, timeAxis ? 0 : 8, 0],
      cursor: { sync: { key: 'time' }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
      legend: { mount: (_plot, legend) => container.closest('figure').querySelector('figcaption').append(legend) },
      scales: { y: scale },
      axes: [
        {
          ...axis, show: timeAxis, size: 24, space: 84, incrs: TIME_STEPS_MS,
          values: (_plot, times) => times.map((time) => clock(time)),
        },
        {
          ...axis, size: axisWidth, gap: 6, splits,
          // Else the labels of all but powers of ten are left out of a scale that is no straight line.
          filter: (_plot, values) => values,
          values: (_plot, values) => values.map(label),
        },
      ],
      series: [{ label: 'at', value: (_plot, time) => (time ? clock(time) : 'now') }, ...Object.values(lines)],
      hooks: { draw: [(plot) => this.#drawOpen(plot)] },
    };
    const columns = Object.keys(lines);
    return { container, columns, plot: new uPlot(options, [[], ...columns.map(() => [])], container) };
  }

  #resize() {
    for (const { plot, container } of this.#plots) {
      plot.setSize({ width: container.clientWidth, height: container.clientHeight });
    }
    if (this.#view) this.draw(this.#view);
  }

  /** Draws the line that marks the open decision. */
  #drawOpen(plot) {
    const open = this.#view?.open;
    if (!open || open.channel !== this.#view.channel) return;
    const x = plot.valToPos(open.at_unix_ms, 'x', true);
    const { left, top, width, height } = plot.bbox;
    if (x < left || x > left + width) return;
    plot.ctx.fillStyle = this.#theme.colour.accent;
    plot.ctx.fillRect(Math.round(x), top, devicePixelRatio, height);
  }

  #drawMarkers({ min, max }) {
    const { markers, open } = this.#view;
    const shown = markers.filter(({ at_unix_ms: at }) => at >= min && at <= max);
    const keys = new Set(shown.map(keyOf));
    for (const [key, marker] of this.#markers) {
      if (keys.has(key)) continue;
      marker.remove();
      this.#markers.delete(key);
    }
    for (const decision of shown) {
      const marker = this.#marker(decision);
      marker.className = `marker ${verdict(decision)}`;
      marker.classList.toggle('is-open', open !== null && keyOf(open) === keyOf(decision));
      marker.style.left = `${(100 * (decision.at_unix_ms - min)) / (max - min)}%`;
    }
  }

  #marker(decision) {
    const key = keyOf(decision);
    if (!this.#markers.has(key)) {
      // The list of decisions is the way there by keyboard: hundreds of markers would be in the way.
      const marker = element('button', {
        type: 'button', tabindex: -1, title: `${clock(decision.at_unix_ms, true)} ${decision.sentence}`,
        click: () => this.#openDecision(decision),
      }, actionGlyph(decision.action));
      this.#markers.set(key, marker);
      byId('markers').append(marker);
    }
    return this.#markers.get(key);
  }

  #drawRibbon({ min, max }) {
    const runs = strategyRuns(this.#view.series);
    const ribbon = byId('ribbon');
    const canvas = ribbon.querySelector('canvas') ?? ribbon.appendChild(element('canvas'));
    const width = ribbon.clientWidth;
    canvas.width = width * devicePixelRatio;
    canvas.height = RIBBON_HEIGHT * devicePixelRatio;
    const context = canvas.getContext('2d');
    context.scale(devicePixelRatio, devicePixelRatio);
    context.font = this.#theme.font;
    context.textBaseline = 'middle';
    for (const run of runs) {
      const left = Math.max(((run.from - min) / (max - min)) * width, 0);
      const right = ((run.to - min) / (max - min)) * width;
      this.#drawRun(context, run.name, left, right);
    }
    this.#listStrategies([...new Set(runs.map((run) => run.name))]);
  }

  #drawRun(context, name, left, right) {
    const padding = 6;
    context.fillStyle = this.#strategyColour(name);
    context.fillRect(left, 0, right - left, RIBBON_HEIGHT);
    if (context.measureText(name).width + 2 * padding > right - left) return;
    context.fillStyle = this.#theme.colour['on-strategy'];
    context.fillText(name, left + padding, RIBBON_HEIGHT / 2);
  }

  #strategyColour(name) {
    const colours = this.#strategyColours;
    if (!colours.has(name)) colours.set(name, (colours.size % STRATEGY_COLOURS) + 1);
    return this.#theme.colour[`strategy-${colours.get(name)}`];
  }

  #listStrategies(names) {
    const legend = byId('strategies');
    const entries = names.map((name) => {
      const swatch = element('i', { class: 'swatch' });
      swatch.style.background = this.#strategyColour(name);
      return element('span', {}, swatch, name);
    });
    legend.replaceChildren('Wait strategy', ...entries);
  }
}

function line(label, stroke, format) {
  const value = (plot, hovered, series) => {
    const shown = hovered ?? plot.data[series].at(-1) ?? null;
    return shown === null ? '' : format(shown);
  };
  return { label, stroke, value, width: 1.5, points: { show: false } };
}

/** Near 0 a straight line, far from it a logarithm: shows rings of some KiB beside rings of many MiB, and an empty ring. */
function byteScale() {
  const knee = 4 * KIB;
  return {
    scale: {
      distr: 100,
      fwd: (value) => Math.log2(1 + value / knee),
      bwd: (value) => (2 ** value - 1) * knee,
      range: (_plot, _min, max) => [0, 2 ** Math.ceil(Math.log2(Math.max(1.2 * (max ?? 0), 8 * KIB)))],
    },
    splits: (_plot, _axis, _min, max) => {
      const factor = max > 4096 * KIB ? 16 : 4;
      const splits = [0];
      for (let value = 4 * KIB; value <= max; value *= factor) splits.push(value);
      return splits;
    },
    label: bytes,
  };
}

function rateScale() {
  const top = (max) => 2 ** Math.ceil(Math.log2(Math.max(1.05 * (max ?? 0), KIB)));
  return {
    scale: { range: (_plot, _min, max) => [0, top(max)] },
    splits: (_plot, _axis, _min, max) => [0, max / 2, max],
    label: bytes,
  };
}

function shareScale() {
  return {
    scale: { range: (_plot, _min, max) => [0, Math.max(Math.ceil(max ?? 0), 1)] },
    splits: (_plot, _axis, _min, max) => [0, max / 2, max],
    label: (value) => `${count(100 * value)} %`,
  };
}

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const names = ['quiet', 'grid', 'accent', 'capacity', 'backlog', 'backlog-area', 'forecast', 'forecast-band', 'arrivals',
    'arrivals-area', 'sender', 'receiver', 'on-strategy'];
  for (let index = 1; index <= STRATEGY_COLOURS; index += 1) names.push(`strategy-${index}`);
  return {
    colour: Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])),
    axisWidth: Number.parseInt(style.getPropertyValue('--axis-width'), 10),
    marginRight: Number.parseInt(style.getPropertyValue('--chart-margin'), 10),
    font: `11px ${style.fontFamily}`,
  };
}
