import { atMost, type Bench, type Contest } from './lib/bench.ts'
import { benchProgram, rustExample } from './lib/cargo.ts'
import { loadSide, named } from './lib/load.ts'

function contest(connections: number): Contest {
  return {
    name: named({ connections }),
    sides: [
      loadSide('epoll', { connections }, () => benchProgram('epoll_echo', '127.0.0.1:0')),
      loadSide('example', { connections }, () =>
        rustExample('miolo', 'echo_server', '127.0.0.1:0'),
      ),
    ],
    figures: [
      {
        title: 'CPU a message',
        metric: 'cpuPerMessage',
        unit: 'µs',
        side: 'example',
        peer: 'epoll',
        target: atMost(1.1),
      },
      {
        title: 'messages',
        metric: 'messagesPerSecond',
        unit: '/s',
        side: 'example',
        peer: 'epoll',
      },
    ],
  }
}

/** The Rust example echo_server against plain epoll: what the loop itself costs. */
export const rustEcho: Bench = {
  name: 'rust-echo',
  contests: [contest(64), contest(1000)],
  unavailable: () => (process.platform === 'linux' ? null : 'epoll is only there on Linux'),
}
