/** Sockets on the loopback, and what tests do with them. */

import { existsSync, readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'

import {
  type EventLoop,
  type Handler,
  type ListenOptions,
  type SocketAddress,
  TcpListener,
  TcpStream,
  type Token,
} from 'miolo'

import type { RunStage, Stage } from './drivers.ts'

/** A `ready`, as its token and the names of its events. */
export type Ready = [Token, string]

/** A listener on a free port. */
export function listen(
  { keep }: Stage,
  address = '127.0.0.1:0',
  options?: ListenOptions,
): TcpListener {
  return keep(TcpListener.bind(address, options))
}

/** A stream that connects to a listener. */
export function connect({ keep }: Stage, listener: TcpListener): TcpStream {
  return keep(TcpStream.connect(hostAndPort(listener.localAddress())))
}

export function hostAndPort({ address, port }: SocketAddress): { host: string; port: number } {
  return { host: address, port }
}

/** The next connection of a listener that no loop watches. */
export async function accepted({ keep }: Stage, listener: TcpListener): Promise<TcpStream> {
  for (;;) {
    const connection = listener.accept()
    if (connection !== null) return keep(connection.stream)
    await turn()
  }
}

/** Both ends of a connection, neither of them registered. */
export async function pair(stage: Stage): Promise<{ client: TcpStream; server: TcpStream }> {
  const listener = listen(stage)
  const client = connect(stage, listener)
  const server = await accepted(stage, listener)
  listener.close()
  return { client, server }
}

/** Writes all of a text that is sure to fit. */
export function say(stream: TcpStream, text: string): void {
  const written = stream.write(Buffer.from(text))
  if (written !== Buffer.byteLength(text)) throw new Error(`wrote ${written} of ${text}`)
}

/** What has come so far. Reads until there is no more, or the peer has ended. */
export function heard(stream: TcpStream): string {
  const into = Buffer.alloc(64 * 1024)
  let text = ''
  for (;;) {
    const count = stream.read(into)
    if (!count) return text
    text += into.toString('latin1', 0, count)
  }
}

/** What `read` returns when it is not null. For a stream that no loop watches. */
export async function readSoon(stream: TcpStream, into = Buffer.alloc(64 * 1024)): Promise<number> {
  for (;;) {
    const count = stream.read(into)
    if (count !== null) return count
    await turn()
  }
}

/**
 * Waits until so many unread bytes, and the peer's end if it `hasEnded`, have come to each of some streams, so that a
 * poll finds all of it at once.
 */
export async function arrival(
  streams: TcpStream | TcpStream[],
  { bytes = 0, hasEnded = false }: { bytes?: number; hasEnded?: boolean },
): Promise<void> {
  const ports = [streams].flat().map((stream) => portsOf(stream))
  for (;;) {
    const connections = connectionsOfSystem()
    // Where the system does not tell, what is sent on the loopback has come by now.
    if (connections === undefined) return
    const isThere = ports.every((each) => {
      const { unread = 0, isEnded = false } = connections.get(each) ?? {}
      return unread >= bytes && isEnded === hasEnded
    })
    if (isThere) return
    await turn()
  }
}

function portsOf(stream: TcpStream): string {
  const port = (address: SocketAddress) => address.port.toString(16).toUpperCase().padStart(4, '0')
  return `${port(stream.localAddress())} ${port(stream.peerAddress())}`
}

/** What Linux has in /proc/net/tcp, by the local and the remote port. */
function connectionsOfSystem(): Map<string, { unread: number; isEnded: boolean }> | undefined {
  if (!existsSync('/proc/net/tcp')) return undefined
  const CLOSE_WAIT = '08'
  const line = /^ *\d+: \w+:(?<local>\w+) \w+:(?<remote>\w+) (?<state>\w+) \w+:(?<unread>\w+)/gm
  const connections = new Map<string, { unread: number; isEnded: boolean }>()
  for (const { groups } of readFileSync('/proc/net/tcp', 'latin1').matchAll(line)) {
    connections.set(`${groups!.local} ${groups!.remote}`, {
      unread: Number.parseInt(groups!.unread!, 16),
      isEnded: groups!.state === CLOSE_WAIT,
    })
  }
  return connections
}

/** Runs a loop to the end of the first iteration that has a `ready`: each that it has. */
export async function nextReady(
  { run }: Pick<RunStage, 'run'>,
  loop: EventLoop<number>,
  ready?: Handler<number>['ready'],
): Promise<Ready[]> {
  const readies: Ready[] = []
  await run(loop, {
    ready(loop, token, events) {
      readies.push([token, events.toString()])
      loop.shutdown()
      ready?.(loop, token, events)
    },
  })
  return readies
}

/** Runs a loop for many iterations: each `ready` that there is in them. */
export async function idle(
  { run }: Pick<RunStage, 'run'>,
  loop: EventLoop<number>,
  ready?: Handler<number>['ready'],
): Promise<Ready[]> {
  const readies: Ready[] = []
  loop.timeoutMs(20, 0)
  await run(loop, {
    ready(loop, token, events) {
      readies.push([token, events.toString()])
      ready?.(loop, token, events)
    },
    timeout: countDown,
  })
  return readies
}

/** A `timeout` that makes `left` more iterations, and then shuts the loop down. */
export function countDown(loop: EventLoop<number>, left: number): void {
  if (left === 0) loop.shutdown()
  else loop.timeoutMs(left - 1, 0)
}
