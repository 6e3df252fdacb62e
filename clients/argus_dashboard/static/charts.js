// What all charts share: plotly, the page's colours in it, and how it behaves.

import { style } from './format.js';

// Deferred scripts have run when the document is ready.
const ready = new Promise((resolve) => {
  if (document.readyState === 'complete') resolve();
  else addEventListener('DOMContentLoaded', resolve, { once: true });
});

/** Draws traces into body, or changes what is there. `label` says to a screen reader what is seen. */
export async function draw(body, traces, layout, label) {
  await ready;
  if (!globalThis.Plotly) throw new Error('plotly.min.js did not load');
  const chart = body.querySelector('.chart') ?? newChart(body);
  chart.setAttribute('aria-label', label);
  await Plotly.react(
    chart,
    traces,
    { ...baseLayout(), ...layout },
    { displayModeBar: false, responsive: true, doubleClick: false },
  );
  return chart;
}

function newChart(body) {
  const chart = document.createElement('div');
  chart.className = 'chart';
  chart.setAttribute('role', 'img');
  body.append(chart);
  return chart;
}

function baseLayout() {
  return {
    autosize: true,
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { family: style('--font'), size: 12, color: style('--muted') },
    margin: { l: 52, r: 12, t: 8, b: 36 },
    showlegend: false,
    dragmode: false,
    hoverlabel: {
      bgcolor: style('--raised'),
      bordercolor: style('--line'),
      font: { color: style('--text'), size: 12 },
    },
  };
}

/** An axis in the page's colours; what is given goes over it. */
export function axis(settings = {}) {
  const { title, ...rest } = settings;
  return {
    fixedrange: true,
    gridcolor: style('--grid'),
    zerolinecolor: style('--grid'),
    linecolor: style('--line'),
    tickcolor: style('--line'),
    automargin: true,
    ...(title ? { title: { text: title, standoff: 6, font: { size: 12 } } } : {}),
    ...rest,
  };
}

/** Plotly reads its texts as a kind of HTML (links and emphasis): this keeps data plain text in them. */
export function escapeHtml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
