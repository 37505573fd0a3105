package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Options.Rename;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.fs.XAttrSetFlag;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.protocol.OpenFileEntry;
import org.apache.hadoop.hdfs.protocol.OpenFilesIterator.OpenFilesType;

/**
 * Single operations of the file system, run in order by Hadoop's own client. Paths are plain text,
 * or bytes under {@code path_base64}. Contents come as {@code text}, {@code base64}, or {@code
 * bytes} many of {@code seed}.
 */
final class Operations {
  private final DistributedFileSystem client;
  private final Cluster cluster;
  private final Map<String, FSDataOutputStream> open = new HashMap<>();
  /** A lease belongs to a client, so a writer that is abandoned needs a client of its own. */
  private final Map<String, DistributedFileSystem> writers = new HashMap<>();

  Operations(DistributedFileSystem client, Cluster cluster) {
    this.client = client;
    this.cluster = cluster;
  }

  void run(JsonNode operations, ObjectNode answer) throws Exception {
    ArrayNode results = answer.putArray("results");
    for (JsonNode operation : operations) {
      ObjectNode result = results.addObject();
      if (operation.path("may_fail").asBoolean()) {
        try {
          run(operation, operation.path("operation").asText(), result);
        } catch (IOException failure) {
          result.put("error", failure.toString());
        }
      } else {
        run(operation, operation.path("operation").asText(), result);
      }
    }
  }

  private void run(JsonNode request, String name, ObjectNode result) throws Exception {
    Path path = path(request, "path");
    switch (name) {
      case "mkdirs" ->
          result.put(
              "done",
              withParents(request)
                  ? client.mkdirs(path)
                  : client.mkdir(path, FsPermission.getDirDefault()));
      case "create" -> {
        try (OutputStream out = create(client, path, request)) {
          out.write(content(request));
        }
      }
      case "append" -> {
        try (OutputStream out = client.append(path)) {
          out.write(content(request));
        }
      }
      case "read" -> result.put("bytes", read(path));
      case "open" -> open(path, request);
      case "write" -> stream(request).write(content(request));
      case "hflush" -> stream(request).hflush();
      case "hsync" -> stream(request).hsync();
      case "close" -> close(request);
      case "recover_lease" -> result.put("done", client.recoverLease(path));
      case "is_file_closed" -> result.put("done", client.isFileClosed(path));
      case "list_open" -> listOpen(path, result);
      case "rename" -> result.put("done", client.rename(path, path(request, "to")));
      case "rename_overwrite" -> client.rename(path, path(request, "to"), Rename.OVERWRITE);
      case "rename_new" -> client.rename(path, path(request, "to"), Rename.NONE);
      case "delete" ->
          result.put("done", client.delete(path, request.path("recursive").asBoolean(true)));
      case "truncate" -> result.put("done", client.truncate(path, request.path("length").asLong()));
      case "concat" ->
          client.concat(
              path,
              ControlMain.texts(request.path("sources")).stream()
                  .map(Path::new)
                  .toArray(Path[]::new));
      case "allow_snapshot" -> client.allowSnapshot(path);
      case "create_snapshot" -> client.createSnapshot(path, request.path("name").asText());
      case "delete_snapshot" -> client.deleteSnapshot(path, request.path("name").asText());
      case "transaction" ->
          result.put("txid", client.getClient().getNamenode().getCurrentEditLogTxid());
      case "sleep" -> Thread.sleep(request.path("milliseconds").asLong());
      default -> setMetadata(request, name, path, result);
    }
  }

  private void setMetadata(JsonNode request, String name, Path path, ObjectNode result)
      throws IOException {
    switch (name) {
      case "set_times" ->
          client.setTimes(
              path,
              request.path("mtime_milliseconds").asLong(-1),
              request.path("atime_milliseconds").asLong(-1));
      case "set_permission" ->
          client.setPermission(
              path, new FsPermission((short) Integer.parseInt(request.path("mode").asText(), 8)));
      case "set_owner" ->
          client.setOwner(
              path, request.path("owner").asText(null), request.path("group").asText(null));
      case "set_acl" ->
          client.setAcl(path, AclEntry.parseAclSpec(request.path("acl").asText(), true));
      case "modify_acl" ->
          client.modifyAclEntries(path, AclEntry.parseAclSpec(request.path("acl").asText(), true));
      case "remove_acl" -> client.removeAcl(path);
      case "set_xattr" ->
          client.setXAttr(
              path,
              request.path("name").asText(),
              content(request),
              EnumSet.of(XAttrSetFlag.CREATE, XAttrSetFlag.REPLACE));
      case "remove_xattr" -> client.removeXAttr(path, request.path("name").asText());
      case "set_replication" ->
          result.put(
              "done",
              client.setReplication(path, (short) request.path("replication").asInt()));
      case "set_quota" ->
          client.setQuota(
              path, request.path("names").asLong(Long.MAX_VALUE), Long.MAX_VALUE);
      case "rewrite_same" -> rewriteSame(request, path);
      default -> throw new IllegalArgumentException("unknown operation " + name);
    }
  }

  /** New content of the same length, with the old times put back. */
  private void rewriteSame(JsonNode request, Path path) throws IOException {
    FileStatus before = client.getFileStatus(path);
    try (OutputStream out = create(client, path, request)) {
      out.write(Content.bytes(request.path("seed").asLong(), (int) before.getLen()));
    }
    client.setTimes(path, before.getModificationTime(), before.getAccessTime());
  }

  private long read(Path path) throws IOException {
    long bytes = 0;
    byte[] buffer = new byte[65536];
    try (InputStream in = client.open(path)) {
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        bytes += count;
      }
    }
    return bytes;
  }

  private void listOpen(Path path, ObjectNode result) throws IOException {
    ArrayNode paths = result.putArray("paths");
    RemoteIterator<OpenFileEntry> open =
        client.listOpenFiles(EnumSet.of(OpenFilesType.ALL_OPEN_FILES), path.toString());
    while (open.hasNext()) {
      paths.add(open.next().getFilePath());
    }
  }

  private void open(Path path, JsonNode request) throws IOException {
    String handle = request.path("handle").asText();
    DistributedFileSystem writer = cluster.client();
    writers.put(handle, writer);
    open.put(
        handle,
        request.path("append").asBoolean() ? writer.append(path) : create(writer, path, request));
  }

  /** Forgets the handle even if the file is gone. */
  private void close(JsonNode request) throws IOException {
    String handle = request.path("handle").asText();
    try (DistributedFileSystem writer = writers.remove(handle)) {
      stream(request).close();
    } finally {
      open.remove(handle);
    }
  }

  private FSDataOutputStream stream(JsonNode request) throws IOException {
    FSDataOutputStream stream = open.get(request.path("handle").asText());
    if (stream == null) {
      throw new IOException("no open file under the handle " + request.path("handle"));
    }
    return stream;
  }

  private static FSDataOutputStream create(
      DistributedFileSystem client, Path path, JsonNode request) throws IOException {
    long blockBytes = request.path("block_bytes").asLong(client.getDefaultBlockSize(path));
    short replication =
        (short) request.path("replication").asInt(client.getDefaultReplication(path));
    EnumSet<CreateFlag> flags =
        request.path("overwrite").asBoolean(true)
            ? EnumSet.of(CreateFlag.CREATE, CreateFlag.OVERWRITE)
            : EnumSet.of(CreateFlag.CREATE);
    FsPermission permission =
        FsPermission.getFileDefault().applyUMask(FsPermission.getUMask(client.getConf()));
    return withParents(request)
        ? client.create(path, permission, flags, 65536, replication, blockBytes, null)
        : client.createNonRecursive(
            path, permission, flags, 65536, replication, blockBytes, null);
  }

  private static boolean withParents(JsonNode request) {
    return request.path("parents").asBoolean(true);
  }

  private static byte[] content(JsonNode request) {
    if (request.hasNonNull("base64")) {
      return Base64.getDecoder().decode(request.path("base64").asText());
    }
    if (request.hasNonNull("bytes")) {
      return Content.bytes(request.path("seed").asLong(1), request.path("bytes").asInt());
    }
    return request.path("text").asText("").getBytes(StandardCharsets.UTF_8);
  }

  private static Path path(JsonNode request, String field) {
    return request.hasNonNull(field) ? new Path(request.path(field).asText()) : new Path("/");
  }
}
