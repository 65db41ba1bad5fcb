// The official Socket.IO server as a chat: rooms, events of the same names and sizes as ours, and nothing else.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { transports: ['websocket'], serveClient: false });
let counter = Date.now() * 1000;

io.on('connection', (socket) => {
  const id = randomBytes(16).toString('base64url');
  let room;
  socket.on('message', (message, acknowledge) => {
    if (message.type === 'join') {
      room = message.room;
      socket.join(room);
      acknowledge?.({ type: 'welcome', session: id, secret: id, lastId: counter });
    } else if (message.type === 'chat') {
      const at = new Date().toISOString();
      io.to(room).emit('message', { id: ++counter, type: 'chat', from: id, text: message.text, at });
    } else if (message.type === 'ping') {
      socket.emit('message', { type: 'pong' });
    }
  });
});

http.listen(0, '127.0.0.1', 1024, () => console.log(`127.0.0.1:${http.address().port}`));
