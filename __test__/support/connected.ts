/** Sockets that are connected to each other. */

import { setImmediate } from 'node:timers/promises'

import { TcpListener, TcpStream } from 'miolo'

import { within } from './deadline.ts'
import type { Stage } from './drivers.ts'

/** Both ends of a connection, which live until the end of the test. */
export async function connected(
  stage: Pick<Stage, 'keep'>,
): Promise<{ client: TcpStream; server: TcpStream }> {
  const listener = TcpListener.bind('127.0.0.1:0')
  try {
    const client = stage.keep(TcpStream.connect(addressOf(listener)))
    const server = await within('a connection', async () => {
      for (;;) {
        const accepted = listener.accept()
        if (accepted !== null) return accepted.stream
        await setImmediate()
      }
    })
    return { client, server: stage.keep(server) }
  } finally {
    listener.close()
  }
}

/** Where a listener can be reached. */
export function addressOf(listener: TcpListener): string {
  const { address, family, port } = listener.localAddress()
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}
