/** A client that shows PostgreSQL's replies as they come: how many statements a text holds is told by their number. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { parse, serialize } from 'pg-protocol';
import type { Postgres } from '../servers/postgres.ts';

export interface Reply {
  /** CommandComplete messages. */
  readonly completed: number;
  /** EmptyQueryResponse: the text held no statement. */
  readonly isEmpty: boolean;
  readonly sqlstate: string | undefined;
  readonly message: string;
  /** Error position in characters. */
  readonly position: number | undefined;
  readonly rows: readonly (readonly (string | null)[])[];
}

interface ServerMessage {
  readonly name: string;
  readonly code?: string;
  readonly message?: string;
  readonly position?: string;
  readonly fields?: readonly (string | null)[];
}

export class RawConnection {
  private readonly socket: Socket;
  private messages: ServerMessage[] = [];
  private ready: (reply: Reply) => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    void parse(socket, (message) => {
      this.messages.push(message as ServerMessage);
      if (message.name === 'readyForQuery') this.ready(this.reply());
    });
  }

  static async open(server: Postgres): Promise<RawConnection> {
    const connection = new RawConnection(connect(join(server.socketDir, `.s.PGSQL.${server.port}`)));
    await connection.send(serialize.startup({ user: 'postgres', database: 'postgres', client_encoding: 'UTF8' }));
    return connection;
  }

  /** Sends Query. */
  query(text: string): Promise<Reply> {
    return this.send(serialize.query(text));
  }

  /** Sends Parse and Sync: PostgreSQL reads the text and runs nothing. */
  prepare(text: string): Promise<Reply> {
    return this.send(Buffer.concat([serialize.parse({ text }), serialize.sync()]));
  }

  close(): void {
    this.socket.destroy();
  }

  private send(bytes: Buffer): Promise<Reply> {
    this.messages = [];
    return new Promise((resolve, reject) => {
      this.ready = resolve;
      this.socket.once('error', reject);
      this.socket.write(bytes, () => this.socket.off('error', reject));
    });
  }

  private reply(): Reply {
    const error = this.messages.find(({ name }) => name === 'error');
    return {
      completed: this.messages.filter(({ name }) => name === 'commandComplete').length,
      isEmpty: this.messages.some(({ name }) => name === 'emptyQuery'),
      sqlstate: error?.code,
      message: error?.message ?? '',
      position: error?.position === undefined ? undefined : Number(error.position),
      rows: this.messages.filter(({ name }) => name === 'dataRow').map(({ fields }) => fields!),
    };
  }
}
