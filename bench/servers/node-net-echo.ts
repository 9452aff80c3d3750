/** The peer: an echo server as one writes it with node:net. */
import { type AddressInfo, createServer } from 'node:net'

const server = createServer((socket) => {
  socket.setNoDelay()
  socket.on('data', (chunk) => socket.write(chunk))
  socket.on('error', () => socket.destroy())
})

server.listen(0, '127.0.0.1', 1024, () => {
  const { address, port } = server.address() as AddressInfo
  console.log(`listening on ${address}:${port}`)
})
