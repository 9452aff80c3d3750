import test from 'ava'
import { TcpListener } from 'miolo'

import { eachDriver } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { accepted, connect, hostAndPort, listen } from './support/sockets.ts'

eachDriver('port 0 is any free port, which localAddress tells', (t, stage) => {
  const [one, two] = [listen(stage), listen(stage)]
  t.like(one.localAddress(), { address: '127.0.0.1', family: 'IPv4' })
  t.true(one.localAddress().port > 0)
  t.not(one.localAddress().port, two.localAddress().port)
})

for (const [given, address, family] of [
  ['127.0.0.1:0', '127.0.0.1', 'IPv4'],
  ['0.0.0.0:0', '0.0.0.0', 'IPv4'],
  ['[::1]:0', '::1', 'IPv6'],
  ['[::]:0', '::', 'IPv6'],
  [{ host: '127.0.0.1', port: 0 }, '127.0.0.1', 'IPv4'],
  [{ host: '::1', port: 0 }, '::1', 'IPv6'],
] as const) {
  test(`${JSON.stringify(given)} can be bound`, (t) => {
    const listener = TcpListener.bind(given)
    t.like(listener.localAddress(), { address, family })
    t.is(listener.takeError(), null)
    t.is(listener.accept(), null)
    listener.close()
  })
}

eachDriver('an address in use is EADDRINUSE, as node:net tells it', (t, stage) => {
  const listener = listen(stage)
  const { port } = listener.localAddress()
  const error = throwsCode(t, () => TcpListener.bind(`127.0.0.1:${port}`), 'EADDRINUSE')
  t.like(error, { syscall: 'listen', address: '127.0.0.1', port })
  t.is((error as NodeJS.ErrnoException).errno! < 0, true)
  t.regex(error.message, /EADDRINUSE.*127\.0\.0\.1/)
})

eachDriver('an address that is not ours is EADDRNOTAVAIL', (t) => {
  // Reserved for documentation: RFC 5737.
  throwsCode(t, () => TcpListener.bind('192.0.2.1:0'), 'EADDRNOTAVAIL')
})

eachDriver('a port can be bound again at once, with connections left over', async (t, stage) => {
  const listener = listen(stage)
  const where = hostAndPort(listener.localAddress())
  const client = connect(stage, listener)
  const server = await accepted(stage, listener)
  listener.close()
  server.close()
  client.close()
  const again = stage.keep(TcpListener.bind(where))
  t.is(again.localAddress().port, where.port)
})

eachDriver('reusePort lets listeners share a port', (t, stage) => {
  const one = listen(stage, '127.0.0.1:0', { reusePort: true })
  const where = hostAndPort(one.localAddress())
  const two = stage.keep(TcpListener.bind(where, { reusePort: true }))
  t.deepEqual(two.localAddress(), one.localAddress())
  throwsCode(t, () => TcpListener.bind(where), 'EADDRINUSE')
})

eachDriver('an IPv6 listener takes IPv4 too, unless it is ipv6Only', async (t, stage) => {
  const both = listen(stage, '[::]:0')
  const { port } = both.localAddress()
  throwsCode(t, () => TcpListener.bind({ host: '0.0.0.0', port }), 'EADDRINUSE')
  both.close()

  const only = stage.keep(TcpListener.bind({ host: '::', port }, { ipv6Only: true }))
  const four = stage.keep(TcpListener.bind({ host: '0.0.0.0', port }, { ipv6Only: true }))
  t.is(only.localAddress().port, four.localAddress().port)
})
