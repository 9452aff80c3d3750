import type { Figure, Side, Target } from './bench.ts'
import { benchProgram, rustExample } from './cargo.ts'
import { program } from './child.ts'
import { loadSide, type Traffic } from './load.ts'

/** Echo by `TcpServer`, with arguments of servers/tcp-server-echo.ts. */
export function tcpServerSide(name: string, traffic: Traffic, ...args: string[]): Side {
  return loadSide(name, traffic, () => program('servers/tcp-server-echo', ...args))
}

/** Echo by node:net, with arguments of servers/node-net-echo.ts. */
export function nodeNetSide(traffic: Traffic, ...args: string[]): Side {
  return loadSide('net', traffic, () => program('servers/node-net-echo', ...args))
}

/** Echo by plain epoll, where there is one. */
export function epollSide(traffic: Traffic): Side {
  return {
    ...loadSide('epoll', traffic, () => benchProgram('epoll_echo', '127.0.0.1:0')),
    unavailable: () => (process.platform === 'linux' ? null : 'epoll is only there on Linux'),
  }
}

/** Echo by the Rust example of a `TcpServer`, without JavaScript. */
export function rustServerSide(traffic: Traffic): Side {
  const example = 'tcp_server_echo'
  return loadSide(example, traffic, () => rustExample('miolo-server', example, '127.0.0.1:0'))
}

/** A figure of a side against a peer. */
type Of = (side: string, peer: string, target?: Target) => Figure

const figure =
  (rest: Pick<Figure, 'title' | 'metric' | 'unit'>): Of =>
  (side, peer, target) => ({ ...rest, side, peer, ...(target === undefined ? {} : { target }) })

export const messages = figure({ title: 'messages', metric: 'messagesPerSecond', unit: '/s' })
export const cpu = figure({ title: 'CPU a message', metric: 'cpuPerMessage', unit: 'µs' })
export const p50 = figure({ title: 'round trip p50', metric: 'p50', unit: 'µs' })
export const p99 = figure({ title: 'round trip p99', metric: 'p99', unit: 'µs' })
/** Of the thread that JavaScript runs in. */
export const mainThreadCpu = figure({
  title: 'CPU a message of the JS thread',
  metric: 'mainThreadCpuPerMessage',
  unit: 'µs',
})
