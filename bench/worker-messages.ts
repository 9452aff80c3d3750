import { atLeast, atMost, below, type Bench, type Contest, type Side } from './lib/bench.ts'
import { program, result } from './lib/child.ts'

function side(
  name: 'miolo' | 'miolo-sync' | 'port',
  kind: 'numbers' | 'arrays' | 'round-trip',
): Side {
  return {
    name,
    measure: async ({ short }) => {
      const messages = (kind === 'round-trip' ? 20_000 : 1_000_000) / (short ? 10 : 1)
      const args = [name, kind, String(messages), String(messages / 10)]
      return result(await program('programs/worker-messages', ...args), 120_000)
    },
  }
}

function oneWay(kind: 'numbers' | 'arrays'): Contest {
  return {
    name: kind,
    sides: [side('miolo', kind), side('port', kind)],
    figures: [
      {
        title: 'messages',
        metric: 'perSecond',
        unit: '/s',
        side: 'miolo',
        peer: 'port',
        target: atLeast(5),
      },
      { title: 'CPU a message', metric: 'cpuUs', unit: 'µs', side: 'miolo', peer: 'port' },
    ],
  }
}

const roundTrip: Contest = {
  name: 'round trip',
  sides: [
    side('miolo', 'round-trip'),
    side('miolo-sync', 'round-trip'),
    side('port', 'round-trip'),
  ],
  figures: (['miolo', 'miolo-sync'] as const).map((name) => ({
    title: 'p50',
    metric: 'p50',
    unit: 'µs',
    side: name,
    peer: 'port',
    target: name === 'miolo' ? atMost(1) : below(1),
  })),
}

/** A worker's messages to the main thread, against a MessagePort. */
export const workerMessages: Bench = {
  name: 'worker-messages',
  contests: [oneWay('numbers'), oneWay('arrays'), roundTrip],
}
