/**
 * What the server says about itself: GetServerInfo, read once for all parts of a page.
 */

import { unary } from "./connect.js";
import { session } from "./session.js";

/**
 * @typedef {{operation: string, limit?: number, used?: number}} QuotaUsage
 * @typedef {{name: string, title: string, region?: string, ready?: boolean, notReadyReason?: string,
 *   grpcService: string, operationCount: number, taskMethods?: string[],
 *   quotaUsage?: QuotaUsage[]}} AwsService
 * @typedef {{name: string, region?: string, ready?: boolean}} TargetService
 * @typedef {{name: string, services?: TargetService[]}} Target
 * @typedef {{version: string, awsServices?: AwsService[], targets?: Target[]}} ServerInfo
 */

/** For this time the parts of a page share one response. */
const SHARED_MS = 2000;

/** @type {{key: string, at: number, info: Promise<ServerInfo>} | null} */
let latest = null;

/**
 * Return the info of the server for the present target.
 *
 * @returns {Promise<ServerInfo>}
 */
export function serverInfo() {
  const key = JSON.stringify(session.headers());
  if (!latest || latest.key !== key || Date.now() - latest.at > SHARED_MS) {
    const info = unary("taskgate.v1.TaskService/GetServerInfo", {});
    latest = { key, at: Date.now(), info };
    info.catch(() => {
      if (latest?.info === info) latest = null;
    });
  }
  return latest.info;
}
