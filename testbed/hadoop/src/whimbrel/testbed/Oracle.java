package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileChecksum;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocatedFileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.hdfs.DFSInotifyEventInputStream;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.inotify.Event;
import org.apache.hadoop.hdfs.inotify.EventBatch;
import org.apache.hadoop.hdfs.protocol.HdfsFileStatus;
import org.apache.hadoop.hdfs.protocol.HdfsLocatedFileStatus;
import org.apache.hadoop.hdfs.protocol.LocatedBlock;
import org.apache.hadoop.util.StringUtils;

/** What Hadoop's own client makes of the cluster, for comparison with ours. */
final class Oracle {
  private Oracle() {}

  /** The decoded events after {@code after_txid} until the stream has been silent for a while. */
  static void events(DistributedFileSystem client, JsonNode request, ObjectNode answer)
      throws Exception {
    answer.put("current_txid", client.getClient().getNamenode().getCurrentEditLogTxid());
    DFSInotifyEventInputStream stream =
        client.getInotifyEventStream(request.path("after_txid").asLong(0));
    ArrayNode batches = answer.putArray("batches");
    EventBatch batch = stream.poll(1, TimeUnit.SECONDS);
    while (batch != null) {
      ObjectNode entry = batches.addObject().put("txid", batch.getTxid());
      ArrayNode events = entry.putArray("events");
      for (Event event : batch.getEvents()) {
        describe(event, events.addObject());
      }
      batch = stream.poll(300, TimeUnit.MILLISECONDS);
    }
  }

  private static void describe(Event event, ObjectNode out) {
    out.put("type", event.getEventType().name());
    if (event instanceof Event.CreateEvent create) {
      out.put("path", create.getPath()).put("inode_type", create.getiNodeType().name());
      out.put("ctime", create.getCtime()).put("replication", create.getReplication());
      out.put("owner", create.getOwnerName()).put("group", create.getGroupName());
      out.put("permission", create.getPerms().toShort()).put("overwrite", create.getOverwrite());
      out.put("block_bytes", create.getDefaultBlockSize());
    } else if (event instanceof Event.CloseEvent close) {
      out.put("path", close.getPath()).put("bytes", close.getFileSize());
      out.put("timestamp", close.getTimestamp());
    } else if (event instanceof Event.AppendEvent append) {
      out.put("path", append.getPath()).put("new_block", append.toNewBlock());
    } else if (event instanceof Event.RenameEvent rename) {
      out.put("path", rename.getSrcPath()).put("to", rename.getDstPath());
      out.put("timestamp", rename.getTimestamp());
    } else if (event instanceof Event.UnlinkEvent unlink) {
      out.put("path", unlink.getPath()).put("timestamp", unlink.getTimestamp());
    } else if (event instanceof Event.TruncateEvent truncate) {
      out.put("path", truncate.getPath()).put("bytes", truncate.getFileSize());
      out.put("timestamp", truncate.getTimestamp());
    } else if (event instanceof Event.MetadataUpdateEvent update) {
      out.put("path", update.getPath()).put("metadata_type", update.getMetadataType().name());
      out.put("mtime", update.getMtime()).put("atime", update.getAtime());
      out.put("replication", update.getReplication());
      out.put("owner", update.getOwnerName()).put("group", update.getGroupName());
      if (update.getPerms() != null) {
        out.put("permission", update.getPerms().toShort());
      }
      if (update.getAcls() != null) {
        out.put("acl", AclEntry.aclSpecToString(update.getAcls()));
      }
      if (update.getxAttrs() != null) {
        ArrayNode names = out.putArray("xattrs");
        update.getxAttrs().forEach(
            xattr -> names.add(xattr.getNameSpace().name().toLowerCase() + "." + xattr.getName()));
        out.put("xattrs_removed", update.isxAttrsRemoved());
      }
    }
  }

  /** The composite CRC32C of every file under {@code path}; this writes access-time edits. */
  static void checksums(Cluster cluster, JsonNode request, ObjectNode answer) throws IOException {
    Configuration configuration = new Configuration(cluster.clientConfiguration);
    configuration.set("dfs.checksum.combine.mode", "COMPOSITE_CRC");
    ObjectNode files = answer.putObject("files");
    try (FileSystem client =
        FileSystem.newInstance(FileSystem.getDefaultUri(configuration), configuration)) {
      RemoteIterator<LocatedFileStatus> walk =
          client.listFiles(new Path(request.path("path").asText()), true);
      while (walk.hasNext()) {
        LocatedFileStatus file = walk.next();
        FileChecksum checksum = client.getFileChecksum(file.getPath());
        files
            .putObject(file.getPath().toUri().getPath())
            .put("bytes", file.getLen())
            .put("algorithm", checksum.getAlgorithmName())
            .put("checksum", StringUtils.byteToHexString(checksum.getBytes()));
      }
    }
  }

  /** What a listing with locations says about one path. */
  static void status(DistributedFileSystem client, String path, ObjectNode answer)
      throws IOException {
    // Unlike a call for the locations alone, a listing leaves the access time as it is.
    HdfsFileStatus status = client.getClient().getFileInfo(path);
    answer.put("exists", status != null);
    if (status == null) {
      return;
    }
    answer.put("file_id", status.getFileId()).put("bytes", status.getLen());
    answer.put("directory", status.isDirectory());
    answer.put("mtime_milliseconds", status.getModificationTime());
    answer.put("atime_milliseconds", status.getAccessTime());
    answer.put("owner", status.getOwner()).put("group", status.getGroup());
    answer.put("mode", String.format("%04o", status.getPermission().toShort()));
    answer.put("has_acl", status.hasAcl());
    ArrayNode blocks = answer.putArray("blocks");
    if (!status.isDirectory()) {
      for (LocatedBlock block : blocks(client, path)) {
        blocks
            .addObject()
            .put("id", block.getBlock().getBlockId())
            .put("generation_stamp", block.getBlock().getGenerationStamp())
            .put("bytes", block.getBlockSize());
      }
    }
  }

  /** The blocks of a file, in order. */
  static List<LocatedBlock> blocks(DistributedFileSystem client, String path) throws IOException {
    HdfsLocatedFileStatus located =
        (HdfsLocatedFileStatus)
            client.getClient().listPaths(path, HdfsFileStatus.EMPTY_NAME, true)
                .getPartialListing()[0];
    return located.getLocatedBlocks().getLocatedBlocks();
  }
}
