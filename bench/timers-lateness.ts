import { atMost, type Bench, type Figure, none, type Side } from './lib/bench.ts'
import { program, result } from './lib/child.ts'

function side(name: 'miolo' | 'node'): Side {
  return {
    name,
    measure: async ({ short }) => {
      const [timeouts, spreadMs] = short ? [10_000, 1000] : [100_000, 10_000]
      const args = [name, String(timeouts), String(spreadMs)]
      return result(await program('programs/timers-lateness', ...args), 120_000)
    },
  }
}

const figure = (rest: Pick<Figure, 'title' | 'metric' | 'unit' | 'target'>): Figure => ({
  side: 'miolo',
  peer: 'node',
  ...rest,
})

/** 100 000 timeouts that fall due over ten seconds. */
export const timersLateness: Bench = {
  name: 'timers-lateness',
  contests: [
    {
      name: '',
      sides: [side('miolo'), side('node')],
      figures: [
        figure({ title: 'lateness p99', metric: 'p99', unit: 'ms', target: atMost(1) }),
        figure({ title: 'fired early', metric: 'early', unit: '', target: none }),
        figure({ title: 'CPU in all', metric: 'cpuMs', unit: 'ms' }),
      ],
    },
  ],
}
