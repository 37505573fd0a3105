package whimbrel.testbed;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.qjournal.MiniQJMHACluster;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.security.UserGroupInformation;

/** One running HDFS: a NameNode or a pair of them with a quorum journal, and its DataNodes. */
final class Cluster implements AutoCloseable {
  private static final String NAMESERVICE = MiniQJMHACluster.NAMESERVICE;

  final MiniDFSCluster dfs;
  final boolean highAvailability;
  final Configuration clientConfiguration;
  private final MiniQJMHACluster journaled;
  private final File configurationDirectory;
  /** Addresses in the order of the start: the mini cluster's own list closes up on a stop. */
  private final List<String> dataNodes = new ArrayList<>();
  private final Map<Integer, MiniDFSCluster.DataNodeProperties> stoppedDataNodes =
      new LinkedHashMap<>();

  static Cluster start(
      File baseDirectory, boolean highAvailability, int dataNodes, Map<String, String> settings)
      throws Exception {
    Configuration configuration = serverConfiguration();
    settings.forEach(configuration::set);
    File data = new File(baseDirectory, "data");
    System.setProperty("test.build.data", data.getPath());
    MiniQJMHACluster journaled = null;
    MiniDFSCluster dfs;
    if (highAvailability) {
      MiniQJMHACluster.Builder builder =
          new MiniQJMHACluster.Builder(configuration, data).setNumNameNodes(2);
      // A dfs.datanode.hostname stays as it was set.
      builder.getDfsBuilder().numDataNodes(dataNodes).checkDataNodeHostConfig(true);
      journaled = builder.build();
      dfs = journaled.getDfsCluster();
      dfs.transitionToActive(0);
      dfs.waitActive();
    } else {
      dfs =
          new MiniDFSCluster.Builder(configuration, data)
              .nameNodePort(0)
              .numDataNodes(dataNodes)
              .checkDataNodeHostConfig(true)
              .format(true)
              .build();
      dfs.waitActive();
    }
    return new Cluster(dfs, journaled, new File(baseDirectory, "conf"), settings);
  }

  private Cluster(
      MiniDFSCluster dfs,
      MiniQJMHACluster journaled,
      File configurationDirectory,
      Map<String, String> settings)
      throws IOException {
    this.dfs = dfs;
    this.journaled = journaled;
    this.highAvailability = journaled != null;
    this.configurationDirectory = configurationDirectory;
    for (DataNode dataNode : dfs.getDataNodes()) {
      dataNodes.add(dataNode.getDatanodeId().getXferAddr());
    }
    this.clientConfiguration = writeClientConfiguration(settings);
  }

  private static Configuration serverConfiguration() {
    Configuration configuration = new HdfsConfiguration();
    configuration.set("dfs.blocksize", "1048576");
    configuration.set("dfs.namenode.fs-limits.min-block-size", "512");
    configuration.set("dfs.namenode.acls.enabled", "true");
    configuration.set("dfs.namenode.xattrs.enabled", "true");
    // Nothing is purged by itself, so that a test sees a gap only where it asked for one.
    configuration.set("dfs.namenode.checkpoint.txns", "1000000000");
    configuration.set("dfs.namenode.checkpoint.period", "1000000s");
    configuration.set("dfs.namenode.num.extra.edits.retained", "0");
    configuration.set("dfs.namenode.num.checkpoints.retained", "2");
    configuration.set("dfs.ha.tail-edits.period", "1s");
    configuration.set("dfs.heartbeat.interval", "1s");
    configuration.set("dfs.namenode.heartbeat.recheck-interval", "2000");
    configuration.set("dfs.client.block.write.locateFollowingBlock.initial.delay.ms", "4");
    // DataNodes that share two processors with all the rest report their blocks late.
    configuration.set("dfs.client.block.write.locateFollowingBlock.retries", "12");
    configuration.set("dfs.client.block.write.replace-datanode-on-failure.policy", "NEVER");
    // Users of the tests are no users of the machine.
    configuration.set(
        "hadoop.user.group.static.mapping.overrides",
        userName() + "=supergroup;alice=analysts;bob=analysts;carol=guests");
    return configuration;
  }

  static String userName() {
    try {
      return UserGroupInformation.getCurrentUser().getShortUserName();
    } catch (IOException failure) {
      throw new IllegalStateException(failure);
    }
  }

  private Configuration writeClientConfiguration(Map<String, String> settings) throws IOException {
    Configuration site = new Configuration(false);
    site.set("dfs.client.block.write.locateFollowingBlock.initial.delay.ms", "4");
    site.set("dfs.client.block.write.locateFollowingBlock.retries", "12");
    site.set("dfs.client.block.write.replace-datanode-on-failure.policy", "NEVER");
    site.set("dfs.blocksize", "1048576");
    settings.forEach(site::set);
    if (highAvailability) {
      site.set("dfs.nameservices", NAMESERVICE);
      site.set("dfs.ha.namenodes." + NAMESERVICE, "nn0,nn1");
      for (int index = 0; index < 2; index++) {
        site.set(
            "dfs.namenode.rpc-address." + NAMESERVICE + ".nn" + index,
            text(dfs.getNameNode(index).getNameNodeAddress()));
        site.set(
            "dfs.namenode.http-address." + NAMESERVICE + ".nn" + index,
            text(dfs.getNameNode(index).getHttpAddress()));
      }
      site.set(
          "dfs.client.failover.proxy.provider." + NAMESERVICE,
          "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider");
    }
    Configuration core = new Configuration(false);
    core.set("fs.defaultFS", url());
    if (!configurationDirectory.mkdirs()) {
      throw new IOException("cannot make " + configurationDirectory);
    }
    write(core, "core-site.xml");
    write(site, "hdfs-site.xml");
    Configuration client = new HdfsConfiguration();
    site.forEach(entry -> client.set(entry.getKey(), entry.getValue()));
    client.set("fs.defaultFS", url());
    return client;
  }

  private void write(Configuration configuration, String name) throws IOException {
    try (OutputStream out = new FileOutputStream(new File(configurationDirectory, name))) {
      configuration.writeXml(out);
    }
  }

  private String url() {
    return highAvailability
        ? "hdfs://" + NAMESERVICE
        : "hdfs://" + text(dfs.getNameNode(0).getNameNodeAddress());
  }

  static String text(InetSocketAddress address) {
    return address.getAddress().getHostAddress() + ":" + address.getPort();
  }

  /** What a test needs to reach the cluster. */
  ObjectNode describe() {
    ObjectNode description = ControlMain.JSON.createObjectNode();
    description.put("url", url());
    description.put("configuration_directory", configurationDirectory.getPath());
    description.put("superuser", userName());
    ArrayNode nameNodes = description.putArray("name_nodes");
    ArrayNode http = description.putArray("http_addresses");
    for (int index = 0; index < dfs.getNumNameNodes(); index++) {
      NameNode nameNode = dfs.getNameNode(index);
      if (nameNode != null) {
        nameNodes.add(text(nameNode.getNameNodeAddress()));
        http.add(text(nameNode.getHttpAddress()));
      }
    }
    ArrayNode addresses = description.putArray("data_nodes");
    dataNodes.forEach(addresses::add);
    return description.put("pid", ProcessHandle.current().pid());
  }

  /** A client of its own connection, as the superuser. */
  DistributedFileSystem client() throws IOException {
    return (DistributedFileSystem) FileSystem.newInstance(clientConfiguration);
  }

  /** The index of the active NameNode, or -1. */
  int active() {
    for (int index = 0; index < dfs.getNumNameNodes(); index++) {
      NameNode nameNode = dfs.getNameNode(index);
      if (nameNode != null && nameNode.isActiveState()) {
        return index;
      }
    }
    return -1;
  }

  void stopDataNode(int index) throws IOException {
    MiniDFSCluster.DataNodeProperties stopped = dfs.stopDataNode(dataNodes.get(index));
    if (stopped == null) {
      throw new IOException("DataNode " + index + " is not running");
    }
    stoppedDataNodes.put(index, stopped);
  }

  /** Starts it on the port that it had. */
  void restartDataNode(int index) throws IOException {
    MiniDFSCluster.DataNodeProperties stopped = stoppedDataNodes.remove(index);
    if (stopped == null) {
      throw new IOException("DataNode " + index + " is not stopped");
    }
    dfs.restartDataNode(stopped, true);
    dfs.waitActive();
  }

  @Override
  public void close() throws IOException {
    if (journaled != null) {
      journaled.shutdown();
    } else {
      dfs.shutdown();
    }
  }
}
