import { atLeast, type Bench, type Side } from './lib/bench.ts'
import { program, result } from './lib/child.ts'

function side(name: 'miolo' | 'tsfn'): Side {
  return {
    name,
    measure: async ({ short }) => {
      const events = short ? 200_000 : 2_000_000
      const args = [name, String(events), String(events / 10)]
      return result(await program('programs/send-notify', ...args), 120_000)
    },
  }
}

/** send → notify in one thread, through the native loop and back. */
export const sendNotify: Bench = {
  name: 'send-notify',
  contests: [
    {
      name: '',
      sides: [side('miolo'), side('tsfn')],
      figures: [
        {
          title: 'events',
          metric: 'perSecond',
          unit: '/s',
          side: 'miolo',
          peer: 'tsfn',
          target: atLeast(5),
        },
        { title: 'CPU an event', metric: 'cpuPerEvent', unit: 'ns', side: 'miolo', peer: 'tsfn' },
      ],
    },
  ],
}
