package whimbrel.testbed;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.hdfs.server.namenode.NameNodeAdapter;
import org.apache.hadoop.ipc.Server;
import org.apache.hadoop.metrics2.AbstractMetric;
import org.apache.hadoop.metrics2.MetricsRecord;
import org.apache.hadoop.metrics2.MetricsSource;
import org.apache.hadoop.metrics2.impl.MetricsCollectorImpl;
import org.apache.hadoop.metrics2.lib.DefaultMetricsSystem;

/**
 * The servers' own counters, read at their source: over JMX they may be ten seconds old. They
 * start at zero when a server is restarted.
 */
final class Stats {
  private Stats() {}

  static void collect(Cluster cluster, ObjectNode answer) {
    ArrayNode nameNodes = answer.putArray("name_nodes");
    for (int index = 0; index < cluster.dfs.getNumNameNodes(); index++) {
      ObjectNode counters = nameNodes.addObject().put("index", index);
      NameNode nameNode = cluster.dfs.getNameNode(index);
      counters.put("running", nameNode != null);
      ObjectNode calls = counters.putObject("calls");
      if (nameNode == null) {
        continue;
      }
      counters.put("active", nameNode.isActiveState());
      Server server = NameNodeAdapter.getRpcServer(nameNode);
      long total = 0;
      for (AbstractMetric metric : metrics(server.getRpcDetailedMetrics().name())) {
        if (metric.name().endsWith("NumOps")
            && !metric.name().startsWith("Overall")
            && metric.value().longValue() > 0) {
          String name = metric.name().substring(0, metric.name().length() - "NumOps".length());
          calls.put(Character.toLowerCase(name.charAt(0)) + name.substring(1),
              metric.value().longValue());
          total += metric.value().longValue();
        }
      }
      counters.put("calls_total", total);
    }
    long bytesRead = 0;
    long blocksRead = 0;
    ArrayNode dataNodes = answer.putArray("data_nodes");
    for (DataNode dataNode : cluster.dfs.getDataNodes()) {
      ObjectNode counters = dataNodes.addObject();
      counters.put("address", dataNode.getDatanodeId().getXferAddr());
      for (AbstractMetric metric : metrics(dataNode.getMetrics().name())) {
        switch (metric.name()) {
          case "BytesRead" -> bytesRead += put(counters, "bytes_read", metric);
          case "BlocksRead" -> blocksRead += put(counters, "blocks_read", metric);
          case "BlockChecksumOpNumOps" -> put(counters, "block_checksums", metric);
          default -> { }
        }
      }
    }
    answer.put("bytes_read", bytesRead).put("blocks_read", blocksRead);
  }

  private static long put(ObjectNode counters, String name, AbstractMetric metric) {
    counters.put(name, metric.value().longValue());
    return metric.value().longValue();
  }

  private static Iterable<AbstractMetric> metrics(String sourceName) {
    MetricsSource source = DefaultMetricsSystem.instance().getSource(sourceName);
    MetricsCollectorImpl collector = new MetricsCollectorImpl();
    source.getMetrics(collector, true);
    for (MetricsRecord record : collector.getRecords()) {
      return record.metrics();
    }
    throw new IllegalStateException("no metrics under " + sourceName);
  }
}
