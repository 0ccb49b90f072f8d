package godwit;

import groovy.lang.Closure;
import groovy.lang.GroovyObjectSupport;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One block of a declarative Jenkinsfile. It takes only the directives that its
 * place in the grammar allows, and remembers them in their order.
 */
class Block extends GroovyObjectSupport {
  /** What may stand where; what ends in {} is a block itself. */
  private static final Map<String, List<String>> GRAMMAR = Map.ofEntries(
      Map.entry("pipeline", List.of("agent", "agent{}", "parameters{}", "options{}", "environment{}", "stages{}", "post{}")),
      Map.entry("parameters", List.of("string")),
      Map.entry("pipeline options", List.of("disableConcurrentBuilds", "timestamps", "buildDiscarder", "logRotator", "durabilityHint",
          "skipDefaultCheckout", "preserveStashes", "timeout")),
      Map.entry("stage options", List.of("timeout", "retry", "timestamps", "skipDefaultCheckout")),
      Map.entry("environment", List.of("credentials")),
      Map.entry("stages", List.of("stage{}")),
      Map.entry("parallel", List.of("stage{}")),
      Map.entry("stage", List.of("agent", "agent{}", "options{}", "environment{}", "input{}", "stages{}", "parallel{}", "steps{}", "post{}")),
      Map.entry("agent", List.of("node{}", "label")),
      Map.entry("node", List.of("label", "retries", "customWorkspace")),
      Map.entry("input", List.of("message", "id", "ok", "submitter", "submitterParameter")),
      Map.entry("post", List.of("always{}", "changed{}", "fixed{}", "regression{}", "aborted{}", "failure{}", "success{}", "unstable{}",
          "unsuccessful{}", "cleanup{}")));

  /** Blocks whose content is steps, run later and not read now. */
  private static final List<String> STEPS = List.of("steps", "always", "changed", "fixed", "regression", "aborted", "failure", "success",
      "unstable", "unsuccessful", "cleanup");

  final String kind;
  final String name;
  final Object argument;
  final List<Block> children = new ArrayList<>();
  final Map<String, Object> variables = new LinkedHashMap<>();
  Closure<?> steps;
  private final Map<String, Object> globals;

  private Block(String kind, String name, Object argument, Map<String, Object> globals) {
    this.kind = kind;
    this.name = name;
    this.argument = argument;
    this.globals = globals;
  }

  static Block read(Closure<?> body, Map<String, Object> globals) {
    Block root = new Block("pipeline", "pipeline", null, globals);
    root.fill(body);
    return root;
  }

  private void fill(Closure<?> body) {
    if (STEPS.contains(kind)) {
      steps = body;
      return;
    }
    body.setDelegate(this);
    body.setResolveStrategy(Closure.DELEGATE_ONLY);
    body.call();
  }

  @Override
  public Object invokeMethod(String directive, Object arguments) {
    Object[] all = (Object[]) arguments;
    boolean block = all.length > 0 && all[all.length - 1] instanceof Closure;
    List<String> allowed = GRAMMAR.getOrDefault(kind, List.of());
    if (!allowed.contains(block ? directive + "{}" : directive)) {
      throw new Ungrammatical(directive + (block ? " {}" : "") + " is not allowed in " + kind + " " + name);
    }
    if (kind.equals("environment")) {
      return new Credential(String.valueOf(all[0]));
    }
    String inner = directive.equals("options") ? (kind.equals("stage") ? "stage options" : "pipeline options") : directive;
    boolean named = directive.equals("stage");
    if (named && (all.length != 2 || !(all[0] instanceof String))) {
      throw new Ungrammatical("a stage needs a name that is a plain string");
    }
    Block child = new Block(inner, named ? (String) all[0] : name, !block && all.length > 0 ? all[0] : null, globals);
    children.add(child);
    if (block) {
      child.fill((Closure<?>) all[all.length - 1]);
    }
    return child;
  }

  @Override
  public Object getProperty(String property) {
    if (globals.containsKey(property)) {
      return globals.get(property);
    }
    throw new Ungrammatical("nothing is called " + property + " in " + kind + " " + name);
  }

  @Override
  public void setProperty(String property, Object value) {
    if (!kind.equals("environment")) {
      throw new Ungrammatical(property + " = … is not allowed in " + kind + " " + name);
    }
    if (!(value instanceof Credential) && !(value instanceof String)) {
      throw new Ungrammatical(property + " is neither a string nor a credential");
    }
    variables.put(property, value);
  }

  /** The only child of a kind, or null. */
  Block child(String wanted) {
    Block found = null;
    for (Block b : children) {
      if (b.kind.equals(wanted)) {
        if (found != null) {
          throw new Ungrammatical(wanted + " stands twice in " + kind + " " + name);
        }
        found = b;
      }
    }
    return found;
  }

  /** The rules that are about several directives at once. */
  void check(boolean inParallel, List<String> names) {
    switch (kind) {
      case "pipeline":
        for (String one : List.of("agent", "stages")) {
          require(child(one) != null, "has no " + one);
        }
        break;
      case "stages", "parallel":
        require(!children.isEmpty(), "is empty");
        break;
      case "stage":
        int bodies = 0;
        for (String one : List.of("steps", "stages", "parallel")) {
          bodies += child(one) == null ? 0 : 1;
        }
        require(bodies == 1, "needs exactly one of steps, stages, parallel");
        require(child("parallel") == null || child("agent") == null, "has an agent beside parallel");
        require(child("parallel") == null || !inParallel, "is parallel within parallel");
        require(!names.contains(name), "has the name of another");
        require(child("agent") == null || child("agent").argument != null || !child("agent").children.isEmpty(), "has an empty agent");
        names.add(name);
        break;
      case "parameters", "pipeline options", "stage options", "environment", "input", "agent", "node", "post":
        require(!children.isEmpty() || !variables.isEmpty() || argument != null, "has an empty " + kind);
        break;
      default:
    }
    for (Block b : children) {
      b.check(inParallel || kind.equals("parallel"), names);
    }
  }

  private void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new Ungrammatical(kind + " " + name + " " + otherwise);
    }
  }

  /** A Jenkinsfile that Jenkins would refuse. */
  static class Ungrammatical extends RuntimeException {
    Ungrammatical(String message) {
      super(message);
    }
  }

  /** A reference into Jenkins' credentials. */
  static class Credential {
    final String id;

    Credential(String id) {
      this.id = id;
    }

    /** The value that a careless Jenkinsfile would show. */
    String value() {
      return "S3CRET-" + id + "-S3CRET";
    }
  }
}
