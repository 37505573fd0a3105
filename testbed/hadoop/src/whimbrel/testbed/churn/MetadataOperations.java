package whimbrel.testbed.churn;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import java.util.Random;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.XAttrSetFlag;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.fs.permission.FsPermission;

/** What happens to files and directories without touching their contents. */
final class MetadataOperations {
  private static final int[] MODES = {0644, 0600, 0640, 0755, 0700, 01777, 0444};
  private static final String[] OWNERS = {"alice", "bob", "carol", "Zoë"};
  private static final String[] GROUPS = {"analysts", "guests", "supergroup", "größe"};
  private static final String[] ACLS = {
    "user::rw-,user:alice:rw-,group::r--,other::---",
    "user::rwx,group::r-x,group:guests:r-x,mask::r-x,other::r--",
    "user::rw-,user:bob:r--,user:carol:rwx,group::r--,mask::rwx,other::r--",
  };

  private final Tools tools;
  private final Model model;
  private final Random random;

  MetadataOperations(Tools tools, Model model, Random random) {
    this.tools = tools;
    this.model = model;
    this.random = random;
  }

  /** Mostly files; directories have metadata too. */
  private Node any() {
    return random.nextInt(5) == 0
        ? model.directory(random, directory -> true)
        : model.file(random);
  }

  boolean setTimes() throws IOException {
    Node node = any();
    if (node == null) {
      return false;
    }
    long seconds = 1_000_000_000L + random.nextInt(700_000_000);
    tools.client.setTimes(node.path(), seconds * 1000 + random.nextInt(1000), -1);
    return true;
  }

  boolean chmod() throws IOException {
    Node node = any();
    if (node == null) {
      return false;
    }
    int mode = MODES[random.nextInt(MODES.length)];
    tools.client.setPermission(node.path(), new FsPermission((short) mode));
    return true;
  }

  boolean chown() throws IOException {
    Node node = any();
    if (node == null) {
      return false;
    }
    String owner = OWNERS[random.nextInt(OWNERS.length)];
    String group = GROUPS[random.nextInt(GROUPS.length)];
    int kind = random.nextInt(3);
    tools.client.setOwner(node.path(), kind == 1 ? null : owner, kind == 0 ? null : group);
    return true;
  }

  boolean acl() throws IOException {
    Node node = any();
    if (node == null) {
      return false;
    }
    Path path = node.path();
    switch (random.nextInt(4)) {
      case 0 -> tools.client.removeAcl(path);
      case 1 ->
          tools.client.modifyAclEntries(path, AclEntry.parseAclSpec("user:carol:r--", true));
      default -> {
        String text = ACLS[random.nextInt(ACLS.length)];
        String inherited = node.isDirectory() ? ",default:user:alice:rwx" : "";
        tools.client.setAcl(path, AclEntry.parseAclSpec(text + inherited, true));
      }
    }
    return true;
  }

  boolean xattr() throws IOException {
    Node node = any();
    if (node == null) {
      return false;
    }
    tools.client.setXAttr(
        node.path(),
        "user.note",
        Integer.toString(random.nextInt()).getBytes(StandardCharsets.UTF_8),
        EnumSet.of(XAttrSetFlag.CREATE, XAttrSetFlag.REPLACE));
    return true;
  }
}
