import { atLeast, atMost, type Bench, type Contest } from './lib/bench.ts'
import { named, type Traffic } from './lib/load.ts'
import {
  cpu,
  epollSide,
  mainThreadCpu,
  messages,
  nodeNetSide,
  rustServerSide,
  tcpServerSide,
} from './lib/servers.ts'

/** `jsThread`: the share of node:net's CPU that the JS thread may take where a native thread does the rest. */
function contest(traffic: Traffic, jsThread?: number): Contest {
  const sides = [
    nodeNetSide(traffic),
    epollSide(traffic),
    rustServerSide(traffic),
    tcpServerSide('auto', traffic),
  ]
  const figures = [
    messages('auto', 'net', atLeast(1.6)),
    cpu('auto', 'net', atMost(0.62)),
    cpu('auto', 'epoll', atMost(1.15)),
    // What JavaScript costs on top of the same server.
    cpu('auto', 'tcp_server_echo'),
  ]
  if (jsThread !== undefined) {
    sides.push(tcpServerSide('thread', traffic, '--driver', 'thread'))
    figures.push(mainThreadCpu('thread', 'net', atMost(jsThread)))
  }
  return { name: named(traffic), sides, figures }
}

/** Echo by `TcpServer` against node:net, plain epoll and the same server in Rust. */
export const serverEcho: Bench = {
  name: 'server-echo',
  contests: [
    contest({ connections: 64 }, 1 / 8),
    contest({ connections: 256, bytes: 1024 }),
    contest({ connections: 1000 }, 1 / 20),
  ],
}
