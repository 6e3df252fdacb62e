// Prints every event of a server, one JSON object a line: node read-export.mjs [HOST:PORT [CA_FILE]]
// With a CA_FILE it speaks TLS; ARGUS_TOKEN in the environment says who calls.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const definition = protoLoader.loadSync("argus_grpc/v1/export.proto", {
  includeDirs: [fileURLToPath(new URL("../../protos", import.meta.url))],
  longs: String, // an int64 can be more than a JavaScript number holds
  enums: String,
});
const { ExportService } = grpc.loadPackageDefinition(definition).argus_grpc.v1;

const [address = "localhost:50051", ca] = process.argv.slice(2);
const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
const client = new ExportService(address, credentials);
const metadata = new grpc.Metadata();
if (process.env.ARGUS_TOKEN) metadata.set("authorization", `Bearer ${process.env.ARGUS_TOKEN}`);
let rows = 0;
let summary;
try {
  for await (const response of client.StreamEvents({ encoding: "ENCODING_ROWS" }, metadata)) {
    for (const event of response.batch?.rows?.events ?? []) {
      rows += 1;
      if (!process.stdout.write(`${JSON.stringify(event)}\n`)) await once(process.stdout, "drain");
    }
    summary = response.summary ?? summary;
  }
  // Without a summary, or with a status other than OK (thrown above), what came is only a part.
  if (summary?.completeness !== "COMPLETENESS_COMPLETE" || Number(summary.totalRows ?? 0) !== rows) {
    throw new Error(`the stream ended after ${rows} rows without the summary of a whole export`);
  }
  console.error(`${rows} events, watermark ${summary.watermark ?? 0}`);
} catch (error) {
  console.error(`the export is not whole: ${error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}
