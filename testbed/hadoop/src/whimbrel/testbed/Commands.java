package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DFSTestUtil;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.protocol.LocatedBlock;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.hdfs.server.namenode.NameNodeAdapter;
import whimbrel.testbed.churn.Churn;

/** The control commands, by name. */
final class Commands {
  private final Cluster cluster;
  private final DistributedFileSystem client;
  private final Operations operations;
  private Churn churn;

  Commands(Cluster cluster) throws IOException {
    this.cluster = cluster;
    this.client = cluster.client();
    this.operations = new Operations(client, cluster);
  }

  /** Runs one command to its end; the answer holds what the command has to say. */
  ObjectNode run(JsonNode request) throws Exception {
    ObjectNode answer = ControlMain.JSON.createObjectNode();
    String command = request.path("command").asText();
    switch (command) {
      case "describe" -> answer = cluster.describe();
      case "operations" -> operations.run(request.path("operations"), answer);
      case "create_files" -> Load.run(cluster, request, answer);
      case "stats" -> Stats.collect(cluster, answer);
      case "events" -> Oracle.events(client, request, answer);
      case "checksums" -> Oracle.checksums(cluster, request, answer);
      case "status" -> Oracle.status(client, request.path("path").asText(), answer);
      case "roll_edits" -> answer.put("txid", client.rollEdits());
      case "purge" -> purge(answer);
      case "failover" -> failover(answer);
      case "kill_name_node" -> killNameNode(request, answer);
      case "restart_name_node" -> restartNameNode(request, answer);
      case "stop_data_node" -> cluster.stopDataNode(request.path("index").asInt());
      case "restart_data_node" -> cluster.restartDataNode(request.path("index").asInt());
      case "safe_mode" -> safeMode(request.path("enter").asBoolean(), answer);
      case "corrupt_block" -> corruptBlock(request, answer);
      case "flip_bit" -> flipBit(request, answer);
      case "churn_start" -> startChurn(request);
      case "churn_stop" -> requireChurn().stop();
      case "churn_running" -> answer.put("running", churn != null && churn.isRunning());
      case "churn_wait" -> requireChurn().await(answer);
      case "lease_limits" -> leaseLimits(request);
      default -> throw new IllegalArgumentException("unknown command " + command);
    }
    return answer;
  }

  private void startChurn(JsonNode request) throws IOException {
    if (churn != null && churn.isRunning()) {
      throw new IOException("a churn is running");
    }
    churn = Churn.start(request, cluster::client);
  }

  private Churn requireChurn() throws IOException {
    if (churn == null) {
      throw new IOException("no churn was started");
    }
    return churn;
  }

  /** Writes checkpoints, after which no edit before them is left on any NameNode or journal. */
  private void purge(ObjectNode answer) throws Exception {
    int active = requireActive();
    NameNode nameNode = cluster.dfs.getNameNode(active);
    // Not through the client: a standby takes these calls too, and it may ask that one first.
    NameNodeAdapter.enterSafeMode(nameNode, false);
    NameNodeAdapter.saveNamespace(nameNode);
    if (cluster.highAvailability && cluster.dfs.getNameNode(1 - active) != null) {
      saveStandby(nameNode, cluster.dfs.getNameNode(1 - active));
    }
    // Edits go up to the older of two images: Hadoop refuses to purge up to the newest one.
    NameNodeAdapter.saveNamespace(nameNode);
    NameNodeAdapter.leaveSafeMode(nameNode);
    // Journal nodes purge in their own time, so wait for what a reader of the stream would see.
    long deadline = System.nanoTime() + 30_000_000_000L;
    long first = firstTxid();
    while (first == 1 && System.nanoTime() < deadline) {
      Thread.sleep(50);
      first = firstTxid();
    }
    if (first == 1) {
      throw new IOException("edits were not purged");
    }
    answer.put("first_txid", first);
  }

  /** A standby that still needs the edits, now or when it restarts, could not become active. */
  private static void saveStandby(NameNode active, NameNode standby) throws Exception {
    long ended = active.getNamesystem().getFSImage().getLastAppliedOrWrittenTxId();
    long deadline = System.nanoTime() + 30_000_000_000L;
    while (standby.getNamesystem().getFSImage().getLastAppliedTxId() < ended - 1) {
      if (System.nanoTime() > deadline) {
        throw new IOException("the standby does not catch up");
      }
      Thread.sleep(50);
    }
    NameNodeAdapter.enterSafeMode(standby, false);
    NameNodeAdapter.saveNamespace(standby);
    NameNodeAdapter.leaveSafeMode(standby);
  }

  private long firstTxid() throws IOException {
    // An edit that everybody may see comes first: an empty stream says nothing about its start.
    client.setTimes(new Path("/"), System.currentTimeMillis(), -1);
    return client.getClient().getNamenode().getEditsFromTxid(1).getFirstTxid();
  }

  private int requireActive() throws IOException {
    int active = cluster.active();
    if (active < 0) {
      throw new IOException("no NameNode is active");
    }
    return active;
  }

  /** Makes the other NameNode active, whether the first one is alive or not. */
  private void failover(ObjectNode answer) throws IOException {
    int active = cluster.active();
    int next = 0;
    if (active >= 0) {
      next = 1 - active;
    } else if (cluster.dfs.getNameNode(0) == null) {
      next = 1;
    }
    if (!cluster.highAvailability || cluster.dfs.getNameNode(next) == null) {
      throw new IOException("there is no NameNode to fail over to");
    }
    if (active >= 0) {
      cluster.dfs.transitionToStandby(active);
    }
    cluster.dfs.transitionToActive(next);
    cluster.dfs.waitActive(next);
    answer.put("active", next);
  }

  private int nameNodeIndex(JsonNode request) {
    return request.hasNonNull("index")
        ? request.path("index").asInt()
        : Math.max(cluster.active(), 0);
  }

  private void killNameNode(JsonNode request, ObjectNode answer) {
    int index = nameNodeIndex(request);
    cluster.dfs.shutdownNameNode(index);
    answer.put("index", index);
  }

  /** Restarts on the same address; alone it becomes active again, in a pair a standby. */
  private void restartNameNode(JsonNode request, ObjectNode answer) throws IOException {
    int index = nameNodeIndex(request);
    cluster.dfs.restartNameNode(index, request.path("wait").asBoolean(true));
    if (cluster.highAvailability && cluster.active() < 0) {
      cluster.dfs.transitionToActive(index);
    }
    answer.put("index", index);
  }

  private void safeMode(boolean enter, ObjectNode answer) throws IOException {
    NameNode nameNode = cluster.dfs.getNameNode(requireActive());
    if (enter) {
      NameNodeAdapter.enterSafeMode(nameNode, false);
    } else {
      NameNodeAdapter.leaveSafeMode(nameNode);
    }
    answer.put("safe_mode", nameNode.isInSafeMode());
  }

  /** Flips bytes in every replica of the first block; a reader finds the checksum wrong. */
  private void corruptBlock(JsonNode request, ObjectNode answer) throws IOException {
    Path path = new Path(request.path("path").asText());
    answer.put(
        "replicas", cluster.dfs.corruptBlockOnDataNodes(DFSTestUtil.getFirstBlock(client, path)));
  }

  /** Turns one bit in every replica below the DataNodes, whose checksums stay as they are. */
  private void flipBit(JsonNode request, ObjectNode answer) throws IOException {
    String path = request.path("path").asText();
    long position = request.path("position").asLong();
    int replicas = 0;
    for (LocatedBlock block : Oracle.blocks(client, path)) {
      long offset = position - block.getStartOffset();
      if (offset < 0 || offset >= block.getBlockSize()) {
        continue;
      }
      for (int index = 0; index < cluster.dfs.getDataNodes().size(); index++) {
        File file = cluster.dfs.getBlockFile(index, block.getBlock());
        if (file != null) {
          flipBit(file, offset);
          replicas++;
        }
      }
    }
    if (replicas == 0) {
      throw new IOException("no replica of " + path + " has a byte " + position);
    }
    answer.put("replicas", replicas);
  }

  private static void flipBit(File file, long offset) throws IOException {
    try (RandomAccessFile content = new RandomAccessFile(file, "rw")) {
      content.seek(offset);
      int value = content.read();
      content.seek(offset);
      content.write(value ^ 1);
    }
  }

  private void leaseLimits(JsonNode request) {
    cluster.dfs.setLeasePeriod(
        request.path("soft_milliseconds").asLong(), request.path("hard_milliseconds").asLong());
  }
}
