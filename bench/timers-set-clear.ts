import { atLeast, atMost, type Bench, type Figure, type Side } from './lib/bench.ts'
import { program, result } from './lib/child.ts'

function side(name: 'miolo' | 'node'): Side {
  return {
    name,
    measure: async ({ short }) => {
      const timeouts = short ? 100_000 : 1_000_000
      return result(await program('programs/timers-set-clear', name, String(timeouts)), 120_000)
    },
  }
}

const figure = (rest: Pick<Figure, 'title' | 'metric' | 'unit' | 'target'>): Figure => ({
  side: 'miolo',
  peer: 'node',
  ...rest,
})

/** A million timeouts set, then cleared. */
export const timersSetClear: Bench = {
  name: 'timers-set-clear',
  contests: [
    {
      name: '',
      sides: [side('miolo'), side('node')],
      figures: [
        figure({ title: 'timeouts', metric: 'perSecond', unit: '/s', target: atLeast(10) }),
        figure({ title: 'to set one', metric: 'setNs', unit: 'ns' }),
        figure({ title: 'to clear one', metric: 'clearNs', unit: 'ns' }),
        // What the timeouts take; of the whole process, most would be Node itself.
        figure({ title: 'memory', metric: 'growthMiB', unit: 'MiB', target: atMost(0.25) }),
        figure({ title: 'whole process', metric: 'rssMiB', unit: 'MiB' }),
      ],
    },
  ],
}
