import { type Mark, parse, type Spec, View } from 'vega'

import { figureOf, plain, type Report } from './report.ts'
import type { Row } from './runner.ts'

/** Each with what it becomes where a dark page is preferred; no two of the light ones are the same. */
const COLOURS = {
  background: ['#ffffff', '#0d1117'],
  text: ['#1f2328', '#e6edf3'],
  muted: ['#59636e', '#9198a1'],
  grid: ['#d1d9e0', '#30363d'],
  met: ['#0969da', '#4493f8'],
  missed: ['#bc4c00', '#f0883e'],
} as const
type Colour = keyof typeof COLOURS

const light = (colour: Colour): string => COLOURS[colour][0]

const FONT = 'system-ui, sans-serif'

// In pixels.
const LABELS = 360
const PLOT = 400
const VALUES = 50
const MARGIN = 16
const LINE = 18
/** Above the first panel's lines. */
const HEAD = 122
const BETWEEN = 64
const WIDTH = MARGIN + LABELS + PLOT + VALUES + MARGIN

/** What a line of the chart shows. */
interface Line {
  /** Its place among the lines of its panel. */
  line: number
  label: string
  heading: boolean
  ratio?: number
  min?: number
  max?: number
  target?: number
  value?: string
  colour?: string
  shape?: string
}

/** The rows as a chart, in SVG: each ratio to its peer, with its spread and its target. The same for the same report. */
export async function draw(report: Report): Promise<string> {
  const rows = report.rows.filter(isDrawn)
  const panels = [
    { title: 'Rate ÷ the peer’s: more is better', rows: rows.filter(isRate) },
    {
      title: 'Time, CPU, memory ÷ the peer’s: less is better',
      rows: rows.filter((row) => !isRate(row)),
    },
  ].filter((panel) => panel.rows.length > 0)

  const marks: Mark[] = heading(report)
  let y = HEAD
  for (const panel of panels) {
    const lines = linesOf(panel.rows)
    marks.push(panelMark(panel.title, lines, y))
    y += lines.length * LINE + BETWEEN
  }
  const spec: Spec = {
    width: WIDTH,
    height: y - BETWEEN + MARGIN,
    autosize: 'none',
    background: light('background'),
    config: { text: { font: FONT } },
    data: [{ name: 'legend', values: legend() }],
    marks,
  }
  const svg = await new View(parse(spec), { renderer: 'none' }).toSVG()
  return framed(svg, rows)
}

const isRate = ({ unit }: Row): boolean => unit === '/s' || unit === 'MiB/s'

/** On a scale of ratios: more than nothing, and not without end. JSON has null for what is no number. */
const hasPlace = (ratio: number | null): boolean => Number.isFinite(ratio) && ratio! > 0

/** A target of the value itself has no place on it either. */
const isDrawn = ({ result, target }: Row): boolean =>
  result !== null && hasPlace(result.ratio.median) && target?.of !== 'value'

/** Under the name of each bench its rows. */
function linesOf(rows: Row[]): Line[] {
  const lines: Line[] = []
  let bench: string | null = null
  for (const row of rows) {
    if (row.bench !== bench) {
      bench = row.bench
      lines.push({ line: lines.length, label: bench, heading: true })
    }
    const { median, min, max } = row.result!.ratio
    const colour = row.met === null ? 'muted' : row.met ? 'met' : 'missed'
    lines.push({
      line: lines.length,
      label: [row.contest, figureOf(row)].filter(Boolean).join(': '),
      heading: false,
      ratio: median,
      min: hasPlace(min) ? min : median,
      max: hasPlace(max) ? max : median,
      ...(row.target === null ? {} : { target: row.target.limit }),
      value: plain(median),
      colour: light(colour),
      shape: row.met === false ? 'diamond' : 'circle',
    })
  }
  return lines
}

function panelMark(title: string, lines: Line[], y: number): Mark {
  const numbers = lines.flatMap(({ min, max, target }) => [min, max, target])
  const shown = [1, ...numbers.filter((number) => number !== undefined)]
  const domain = [Math.min(...shown) / 1.1, Math.max(...shown) * 1.1] as [number, number]
  const height = lines.length * LINE
  const left = MARGIN + LABELS
  const middle = { scale: 'y', field: 'line', offset: LINE / 2 }
  const at = (field: string) => ({ scale: 'x', field })
  const text = (colour: Colour, size = 11) => ({
    fill: { value: light(colour) },
    fontSize: { value: size },
    baseline: { value: 'middle' as const },
  })
  return {
    type: 'group',
    encode: { enter: { x: { value: left }, y: { value: y } } },
    data: [
      { name: 'lines', values: lines },
      { name: 'rows', values: lines.filter((line) => !line.heading) },
      { name: 'targets', values: lines.filter(({ target }) => target !== undefined) },
      { name: 'ticks', values: ticks(domain) },
    ],
    scales: [
      { name: 'x', type: 'log', domain, range: [0, PLOT] },
      { name: 'y', type: 'linear', domain: [0, lines.length], range: [0, height] },
    ],
    marks: [
      {
        type: 'text',
        encode: {
          enter: {
            x: { value: -LABELS },
            y: { value: -24 },
            text: { value: title },
            fontWeight: { value: 'bold' },
            ...text('text', 13),
          },
        },
      },
      {
        type: 'rule',
        from: { data: 'ticks' },
        encode: {
          enter: {
            x: at('ratio'),
            y: { value: 0 },
            y2: { value: height },
            stroke: { field: 'colour' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'ticks' },
        encode: {
          enter: {
            x: at('ratio'),
            y: { value: -8 },
            text: { field: 'label' },
            align: { value: 'center' },
            ...text('muted', 10),
          },
        },
      },
      {
        type: 'text',
        from: { data: 'lines' },
        encode: {
          enter: {
            x: { value: -LABELS, offset: { signal: 'datum.heading ? 0 : 10' } },
            y: middle,
            text: { field: 'label' },
            fontWeight: { signal: "datum.heading ? 'bold' : 'normal'" },
            ...text('text'),
          },
        },
      },
      {
        type: 'rule',
        from: { data: 'rows' },
        encode: {
          enter: {
            x: at('min'),
            x2: at('max'),
            y: middle,
            stroke: { field: 'colour' },
            strokeWidth: { value: 2 },
          },
        },
      },
      {
        type: 'rule',
        from: { data: 'targets' },
        encode: {
          enter: {
            x: at('target'),
            y: { ...middle, offset: 3 },
            y2: { ...middle, offset: LINE - 3 },
            stroke: { value: light('text') },
            strokeWidth: { value: 2 },
          },
        },
      },
      {
        type: 'symbol',
        from: { data: 'rows' },
        encode: {
          enter: {
            x: at('ratio'),
            y: middle,
            size: { value: 56 },
            shape: { field: 'shape' },
            fill: { field: 'colour' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'rows' },
        encode: {
          enter: {
            x: { value: PLOT + VALUES },
            y: middle,
            text: { field: 'value' },
            align: { value: 'right' },
            ...text('text'),
          },
        },
      },
    ],
  }
}

/** The peer's own line at 1, and those around it. */
function ticks([from, to]: [number, number]): { ratio: number; label: string; colour: string }[] {
  const found = []
  for (let power = -3; power <= 3; power += 1) {
    for (const digit of [1, 2, 5]) {
      const ratio = Number(`${digit}e${power}`)
      if (ratio < from || ratio > to) continue
      found.push({ ratio, label: String(ratio), colour: light(ratio === 1 ? 'muted' : 'grid') })
    }
  }
  return found
}

/** The title, where it was measured, and what the marks mean. */
function heading({ date, commit, machine, rounds, short }: Report): Mark[] {
  const where = [
    machine.cpu,
    `${machine.cores} cores`,
    machine.system,
    `Node.js ${machine.node}`,
    ...(commit === null ? [] : [commit]),
    date.slice(0, 10),
  ].join(', ')
  const what = short ? 'a short run: it says nothing' : `median and spread of ${rounds} rounds`
  const line = (text: string, y: number, colour: Colour, size: number, more = {}): Mark => ({
    type: 'text',
    encode: {
      enter: {
        x: { value: MARGIN },
        y: { value: y },
        text: { value: text },
        fill: { value: light(colour) },
        fontSize: { value: size },
        ...more,
      },
    },
  })
  return [
    line(`miolo ÷ its peers: ${what}`, 26, 'text', 15, { fontWeight: { value: 'bold' } }),
    line(where, 44, 'muted', 11),
    {
      type: 'symbol',
      from: { data: 'legend' },
      encode: {
        enter: {
          x: { field: 'x', offset: 5 },
          y: { value: 62 },
          size: { value: 56 },
          shape: { field: 'shape' },
          angle: { field: 'angle' },
          fill: { field: 'colour' },
          stroke: { field: 'colour' },
          strokeWidth: { field: 'width' },
        },
      },
    },
    {
      type: 'text',
      from: { data: 'legend' },
      encode: {
        enter: {
          x: { field: 'x', offset: 15 },
          y: { value: 62 },
          text: { field: 'text' },
          fill: { value: light('text') },
          fontSize: { value: 11 },
          baseline: { value: 'middle' },
        },
      },
    },
  ]
}

/** What the symbols mean; a target is a line, upright. */
function legend() {
  const symbols: [string, number, Colour, string][] = [
    ['target met', 0, 'met', 'circle'],
    ['target missed', 90, 'missed', 'diamond'],
    ['not judged', 190, 'muted', 'circle'],
    ['target', 275, 'text', 'stroke'],
  ]
  return symbols.map(([text, x, colour, shape]) => ({
    text,
    x: MARGIN + x,
    colour: light(colour),
    shape,
    angle: shape === 'stroke' ? 90 : 0,
    width: shape === 'stroke' ? 2 : 0,
  }))
}

/** With a title for those who cannot see it, with its colours for dark pages, and without what needs no saying. */
function framed(svg: string, rows: Row[]): string {
  const judged = rows.filter(({ met }) => met !== null)
  const reached = judged.filter(({ met }) => met).length
  const title = `miolo against its peers: ${reached} of ${judged.length} targets met`
  const dark = Object.values(COLOURS).map(
    ([from, to]) => `[fill="${from}"]{fill:${to}}[stroke="${from}"]{stroke:${to}}`,
  )
  const style = `text{font-family:${FONT}}@media (prefers-color-scheme:dark){${dark.join('')}}`
  const short = svg.replaceAll(/<[^>]+>/g, (tag) =>
    tag
      .replace(` font-family="${FONT}"`, '')
      .replace(' text-anchor="start"', '')
      .replaceAll(/\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2)))),
  )
  return `${short.replace('>', `><title>${title}</title><style>${style}</style>`)}\n`
}
