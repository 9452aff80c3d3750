import type { Bench, Contest, Figure, Sample, Scale, Side, Target } from './bench.ts'
import { undisturbed } from './quiet.ts'
import { isMet, type Summary, summary } from './stats.ts'

/** A line of the table. */
export interface Row {
  bench: string
  contest: string
  figure: string
  unit: Figure['unit']
  side: string
  peer: string
  /** null where no round brought the figure for both. */
  result: { side: Summary; peer: Summary; ratio: Summary } | null
  target: Target | null
  /** null: nothing to judge, or too short to judge by. */
  met: boolean | null
}

/** A measurement, and the share of the machine that others used meanwhile, where that is known. */
export type Taken = Sample & { foreign?: number }

export interface Outcome {
  rows: Row[]
  /** Every measurement: contest, side, then a sample for each round. */
  samples: { bench: string; contest: string; side: string; rounds: (Taken | null)[] }[]
  /** What failed, and why; never a matter of speed. */
  failures: string[]
  /** What cannot run here, and why. */
  leftOut: string[]
}

export async function runBench(
  bench: Bench,
  rounds: number,
  scale: Scale,
  outcome: Outcome,
): Promise<void> {
  const leaveOut = (what: string, why: string): void => {
    const line = `${what}: ${why}`
    if (outcome.leftOut.includes(line)) return
    outcome.leftOut.push(line)
    process.stderr.write(`left out: ${line}\n`)
  }
  const unavailable = bench.unavailable?.() ?? null
  if (unavailable !== null) return leaveOut(bench.name, unavailable)
  for (const contest of bench.contests.map((each) => available(each, bench.name, leaveOut))) {
    const samples = await measure(bench, contest, rounds, scale, outcome.failures)
    for (const [side, taken] of samples) {
      outcome.samples.push({ bench: bench.name, contest: contest.name, side, rounds: taken })
    }
    for (const figure of contest.figures) {
      outcome.rows.push(row(bench, contest, figure, samples, scale))
    }
  }
}

/** The contest without the sides that cannot run here, and without their figures. */
function available(
  contest: Contest,
  bench: string,
  leaveOut: (what: string, why: string) => void,
): Contest {
  const missing = new Set<string>()
  for (const { name, unavailable } of contest.sides) {
    const why = unavailable?.() ?? null
    if (why === null) continue
    missing.add(name)
    leaveOut(`${bench}, against ${name}`, why)
  }
  return {
    name: contest.name,
    sides: contest.sides.filter(({ name }) => !missing.has(name)),
    figures: contest.figures.filter(({ side, peer }) => !missing.has(side) && !missing.has(peer)),
  }
}

/** Round by round, every side once; the order turns about, so that none always comes first. */
async function measure(
  bench: Bench,
  contest: Contest,
  rounds: number,
  scale: Scale,
  failures: string[],
): Promise<Map<string, (Taken | null)[]>> {
  const samples = new Map<string, (Taken | null)[]>(contest.sides.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    const sides = round % 2 === 0 ? contest.sides : [...contest.sides].reverse()
    for (const side of sides) {
      const label = `${[bench.name, contest.name].join(' ').trim()}: ${side.name}, round ${round + 1}`
      try {
        const sample = await take(side, scale)
        samples.get(side.name)!.push(sample)
        process.stderr.write(`${label}: ${brief(sample)}\n`)
      } catch (error) {
        samples.get(side.name)!.push(null)
        const failure = `${label}: ${error instanceof Error ? error.message : String(error)}`
        failures.push(failure)
        process.stderr.write(`${failure}\n`)
      }
    }
  }
  return samples
}

async function take(side: Side, scale: Scale): Promise<Taken> {
  if (scale.short) return side.measure(scale)
  const { result, foreign } = await undisturbed(() => side.measure(scale))
  return foreign === null ? result : { ...result, foreign }
}

function brief(sample: Sample): string {
  return Object.entries(sample)
    .map(([metric, value]) => `${metric} ${Number(value.toPrecision(4))}`)
    .join(', ')
}

function row(
  bench: Bench,
  contest: Contest,
  figure: Figure,
  samples: Map<string, (Taken | null)[]>,
  scale: Scale,
): Row {
  const values = (side: string): number[] =>
    samples.get(side)!.map((sample) => sample?.[figure.metric] ?? NaN)
  const side = values(figure.side)
  const peer = values(figure.peer)
  // A round counts if both were measured in it.
  const both = side.flatMap((_, round) =>
    Number.isFinite(side[round]) && Number.isFinite(peer[round]) ? [round] : [],
  )
  const target = figure.target ?? null
  const result =
    both.length === 0
      ? null
      : {
          side: summary(both.map((round) => side[round]!)),
          peer: summary(both.map((round) => peer[round]!)),
          ratio: summary(both.map((round) => side[round]! / peer[round]!)),
        }
  return {
    bench: bench.name,
    contest: contest.name,
    figure: figure.title,
    unit: figure.unit,
    side: figure.side,
    peer: figure.peer,
    result,
    target,
    met:
      target === null || result === null || scale.short
        ? null
        : isMet(target, result.side, result.ratio),
  }
}
