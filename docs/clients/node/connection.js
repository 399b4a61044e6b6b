// The contract as it stands in protos/, what the environment tells, and clients made of both.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const PROTOS = fileURLToPath(new URL('protos', import.meta.url));
const FILES = ['alarm_feed_service', 'alarm_service', 'role_service'].map((name) => `hotspare/v1/${name}.proto`);

const definition = protoLoader.loadSync([...FILES, 'google/rpc/error_details.proto'], {
  includeDirs: [PROTOS],
  keepCase: true, // names as in the protos and the docs, not in camel case
  longs: String, // cursors and numbers of alarms have 64 bits, more than a number of JavaScript holds
  enums: String, // by name; a value that a later release added comes as a number
  defaults: true,
  oneofs: true, // `frame` tells which part of a message is set
  json: true, // unpacks google.protobuf.Any: the details of errors
});

const { AlarmFeedService, AlarmService, RoleService } = grpc.loadPackageDefinition(definition).hotspare.v1;

export { AlarmFeedService, AlarmService, RoleService, grpc };

/** Reads `grpc-status-details-bin`. */
export const readStatus = definition['google.rpc.Status'].deserialize;

const OPTIONS = {
  // A receiver that is gone without a word (power, network) is noticed after four seconds, not after minutes.
  'grpc.keepalive_time_ms': 2000,
  'grpc.keepalive_timeout_ms': 2000,
  // Without this a client that could not connect for a while tries again only every two minutes.
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
};

/** A client of a service. It connects anew by itself; close it, or the process does not end. */
export function clientOf(Service, address) {
  const authority = process.env.HOTSPARE_TLS_CA;
  const credentials = authority
    ? grpc.credentials.createSsl(readFileSync(authority))
    : grpc.credentials.createInsecure();
  return new Service(address, credentials, OPTIONS);
}

/** A unary call as a promise, with a deadline. Without one, it could wait for ever. */
export function unary(client, method, request, metadata, seconds) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + seconds * 1000;
    client[method](request, metadata, { deadline }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

/** A variable of the environment that must be there. */
export function setting(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

/** All receivers of the group. Tokens belong to one receiver, so each has its own. */
export function receivers() {
  const feeds = setting('HOTSPARE_FEED_TOKEN_FILES').split(',');
  const viewers = setting('HOTSPARE_VIEWER_TOKEN_FILES').split(',');
  return setting('HOTSPARE_RECEIVERS')
    .split(',')
    .map((address, index) => ({
      address,
      feed: bearer(secret(feeds[index])), // for StreamAlarms and SendTestAlarm
      viewer: bearer(secret(viewers[index])), // for reading: WatchMembers, GetAlarm
    }));
}

/** Metadata of a call with a token. */
export function bearer(token) {
  return metadataOf({ authorization: `Bearer ${token}` });
}

/** Metadata of a call of the device. */
export function device() {
  return metadataOf({
    'hotspare-arc-id': setting('HOTSPARE_ARC_ID'),
    'hotspare-device-id': setting('HOTSPARE_DEVICE_ID'),
    'hotspare-device-key': secret(setting('HOTSPARE_DEVICE_KEY_FILE')),
  });
}

/** Print an event: a word, and its values. */
export function say(event, values) {
  const words = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  console.log([event, ...words].join(' '));
}

function metadataOf(values) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(values)) {
    metadata.set(key, value);
  }
  return metadata;
}

function secret(file) {
  return readFileSync(file, 'utf8').trim();
}
