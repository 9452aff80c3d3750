import { createHash } from 'node:crypto'

import { EventLoop, EventSet, PollOpt, TcpListener, TcpStream } from 'miolo'

import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { needs, Program } from './support/program.ts'

const SIZE = 20 * 1024 * 1024
const content = Buffer.alloc(SIZE, createHash('sha512').update('foreign').digest())
const interest = EventSet.readable().union(EventSet.writable())
const edge = PollOpt.edge()

const withSocat = needs('socat')

const hash = (data: Buffer) => createHash('sha1').update(data).digest('hex')

for (const driver of drivers) {
  withSocat(`what socat sends comes, and what is sent to it arrives (${driver})`, async (t) => {
    using loop = new EventLoop({ driver })
    using listener = TcpListener.bind('127.0.0.1:0')
    const { port } = listener.localAddress()
    const socat = new Program(['socat', '-t', '60', '-b', '8192', '-', `TCP:127.0.0.1:${port}`])
    t.teardown(() => socat.close())
    const { stdin, stdout } = socat.child
    const output = createHash('sha1')
    stdout!
      .removeAllListeners('data')
      .setEncoding('binary')
      .on('data', (text: string) => {
        output.update(text, 'latin1')
      })
    stdin!.end(content)

    const input = createHash('sha1')
    const into = Buffer.alloc(64 * 1024)
    let stream: TcpStream | undefined
    let written = 0
    let hasEnded = false
    loop.register(listener, 0, EventSet.readable(), edge)
    await within('the exchange', () =>
      loop.run({
        ready(loop, token) {
          if (token === 0) {
            stream = listener.accept()!.stream
            loop.register(stream, 1, interest, edge)
          }
          for (let count; !hasEnded && (count = stream!.read(into)) !== null;) {
            if (count === 0) hasEnded = true
            else input.update(into.subarray(0, count))
          }
          for (let count; written < SIZE; written += count) {
            count = stream!.write(content.subarray(written))
            if (count === null) return
          }
          if (!hasEnded) return
          stream!.close()
          loop.shutdown()
        },
      }),
    )
    t.like(await socat.ended(), { code: 0 })
    t.is(input.digest('hex'), hash(content))
    t.is(output.digest('hex'), hash(content))
  })

  withSocat(`what is sent to an echo of socat's comes back (${driver})`, async (t) => {
    const socat = new Program([
      // In parts that a pipe with any room has room for: else socat can block on the pipe that it reads itself.
      ...['socat', '-d', '-d', '-t', '60', '-b', '4096'],
      ...['TCP-LISTEN:0,bind=127.0.0.1', 'PIPE'],
    ] as [string, ...string[]])
    t.teardown(() => socat.close())
    const [, port] = await socat.says(/listening on .*:(\d+)/)
    using loop = new EventLoop({ driver })
    using stream = TcpStream.connect({ host: '127.0.0.1', port: Number(port) })
    const input = createHash('sha1')
    const into = Buffer.alloc(64 * 1024)
    let written = 0
    loop.register(stream, 1, interest, edge)
    await within('the exchange', () =>
      loop.run({
        ready(loop) {
          for (let count; written < SIZE; written += count) {
            count = stream.write(content.subarray(written))
            if (count === null) break
            if (written + count === SIZE) stream.shutdown('write')
          }
          for (let count; (count = stream.read(into)) !== null;) {
            if (count === 0) return loop.shutdown()
            input.update(into.subarray(0, count))
          }
        },
      }),
    )
    t.is(input.digest('hex'), hash(content))
    t.like(await socat.ended(), { code: 0 })
  })
}
