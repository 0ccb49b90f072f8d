package godwit;

import com.lesfurets.jenkins.unit.BasePipelineTest;
import com.lesfurets.jenkins.unit.MethodCall;
import groovy.lang.Closure;
import groovy.lang.Script;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * One build of a Jenkinsfile: JenkinsPipelineUnit runs its steps, the directives
 * around them are done here in Jenkins' order. What happens is written down.
 */
class Build extends BasePipelineTest {
  final List<String> trace = new ArrayList<>();
  String result = "SUCCESS";

  private final Map<String, String> scenario;
  private final Map<String, Object> params = new LinkedHashMap<>();
  private final Map<String, Object> env = new LinkedHashMap<>();
  private final Map<String, Object> globals = new LinkedHashMap<>();
  private final Set<String> stashes = new HashSet<>();
  private Script script;
  private int nodes;
  private int milestone;
  private boolean lost;

  Build(Map<String, String> scenario) {
    this.scenario = scenario;
  }

  /** What ends a build: a failed step, a person, an agent that went away. */
  static class Ended extends RuntimeException {
    final String result;

    Ended(String result, String message) {
      super(message);
      this.result = result;
    }
  }

  void run(String directory, String file) throws Exception {
    setScriptRoots(directory);
    setUp();
    env.put("BUILD_TAG", "jenkins-bistro-7");
    globals.putAll(Map.of("none", "none", "any", "any", "params", params, "env", env, "scm", "scm"));
    globals.forEach(getBinding()::setVariable);
    step("pipeline", List.of(Closure.class), a -> pipeline((Closure<?>) a[0]));
    steps();
    script = loadScript(file);
    script.run();
    for (MethodCall call : getHelper().getCallStack()) {
      // A closure is the script itself; all else is what a step was given.
      if (!call.getMethodName().equals("pipeline") && !call.getMethodName().equals("run")) {
        trace.add("call " + call.getMethodName() + " " + oneLine(MethodCall.callArgsToString(call)));
      }
    }
  }

  private void step(String name, List<Class> types, Function<Object[], Object> body) {
    getHelper().registerAllowedMethod(name, types, new Closure<Object>(this) {
      public Object doCall(Object... arguments) {
        return body.apply(arguments);
      }
    });
  }

  private void steps() {
    step("sh", List.of(Map.class), a -> sh((Map<?, ?>) a[0]));
    step("checkout", List.of(String.class), a -> onNode("checkout " + a[0]));
    step("stash", List.of(Map.class), a -> {
      stashes.add(String.valueOf(((Map<?, ?>) a[0]).get("name")));
      return onNode("stash " + ((Map<?, ?>) a[0]).get("name"));
    });
    step("unstash", List.of(String.class), a -> {
      if (!stashes.contains(a[0])) {
        throw new Ended("FAILURE", "nothing is stashed as " + a[0]);
      }
      return onNode("unstash " + a[0]);
    });
    step("archiveArtifacts", List.of(Map.class), a -> onNode("archive " + ((Map<?, ?>) a[0]).get("artifacts")));
    step("milestone", List.of(Map.class), a -> {
      int next = (Integer) ((Map<?, ?>) a[0]).get("ordinal");
      if (next <= milestone) {
        throw new Ended("FAILURE", "milestone " + next + " after " + milestone);
      }
      milestone = next;
      return trace.add("milestone " + next);
    });
  }

  private Object onNode(String what) {
    if (nodes == 0) {
      throw new Ended("FAILURE", what + " needs an agent");
    }
    return trace.add(what);
  }

  private Object sh(Map<?, ?> arguments) {
    for (Object key : arguments.keySet()) {
      if (!Set.of("label", "script").contains(key)) {
        throw new Block.Ungrammatical("sh takes no " + key);
      }
    }
    String label = String.valueOf(arguments.get("label"));
    onNode("sh " + oneLine(label) + " :: " + oneLine(String.valueOf(arguments.get("script"))) + " :: " + String.join(",", env.keySet()));
    if (label.equals(scenario.get("lose")) && !lost) {
      lost = true;
      throw new Ended("LOST", "the agent went away");
    }
    if (label.equals(scenario.get("fail"))) {
      throw new Ended("FAILURE", "script returned exit code 1");
    }
    return null;
  }

  static String oneLine(String text) {
    return text.replace("\\", "\\\\").replace("\n", "\\n");
  }

  private Object pipeline(Closure<?> body) {
    Block root = Block.read(body, globals);
    root.check(false, new ArrayList<>());
    Block parameters = root.child("parameters");
    for (Block p : parameters == null ? List.<Block>of() : parameters.children) {
      Map<?, ?> a = (Map<?, ?>) p.argument;
      String name = String.valueOf(a.get("name"));
      params.put(name, scenario.getOrDefault("param." + name, String.valueOf(a.get("defaultValue"))));
    }
    // Labels were read before there were parameters: read again, as Jenkins does when it needs them.
    Block read = Block.read(body, globals);
    try {
      if (!"none".equals(read.child("agent").argument)) {
        throw new Block.Ungrammatical("these tests know only agent none at the top");
      }
      stages(read.child("stages"));
    } catch (Ended e) {
      end(e);
    }
    post(read);
    trace.add("result " + result);
    return null;
  }

  private void end(Ended e) {
    if (result.equals("SUCCESS")) {
      result = e.result;
    }
    trace.add("error " + e.getMessage());
  }

  private void stages(Block stages) {
    for (Block stage : stages.children) {
      stage(stage);
    }
  }

  private void stage(Block stage) {
    trace.add("stage " + oneLine(stage.name));
    Block options = stage.child("stage options");
    for (Block o : options == null ? List.<Block>of() : options.children) {
      trace.add(o.kind + " " + o.argument);
    }
    Map<String, Object> before = new LinkedHashMap<>(env);
    try {
      input(stage.child("input"));
      onAgent(stage, () -> {
        environment(stage.child("environment"));
        inside(stage);
      });
    } finally {
      env.clear();
      env.putAll(before);
      trace.add("end " + oneLine(stage.name));
    }
  }

  private void input(Block input) {
    if (input == null) {
      return;
    }
    Map<String, String> has = new LinkedHashMap<>();
    for (Block b : input.children) {
      has.put(b.kind, String.valueOf(b.argument));
    }
    trace.add("input " + oneLine(has.get("message")) + " :: " + has.get("submitter"));
    if (nodes > 0) {
      throw new Block.Ungrammatical("an input that keeps an agent waiting");
    }
    if (scenario.containsKey("deny")) {
      throw new Ended("ABORTED", "rejected by " + scenario.get("deny"));
    }
    env.put(has.get("submitterParameter"), "jane");
  }

  private void onAgent(Block stage, Runnable body) {
    Block agent = stage.child("agent");
    if (agent == null) {
      body.run();
      return;
    }
    Block node = agent.child("node");
    int tries = node.child("retries") == null ? 1 : (Integer) node.child("retries").argument;
    for (int i = 1; ; i++) {
      trace.add("node " + node.child("label").argument);
      nodes++;
      try {
        body.run();
        return;
      } catch (Ended e) {
        if (!e.result.equals("LOST") || i == tries) {
          throw e;
        }
        trace.add("retry");
        result = "SUCCESS";
      } finally {
        nodes--;
      }
    }
  }

  private void environment(Block environment) {
    if (environment == null) {
      return;
    }
    environment.variables.forEach((name, value) -> {
      if (value instanceof Block.Credential) {
        trace.add("credential " + name + " " + ((Block.Credential) value).id);
        env.put(name, ((Block.Credential) value).value());
      } else {
        env.put(name, value);
      }
    });
  }

  private void inside(Block stage) {
    try {
      if (stage.child("stages") != null) {
        stages(stage.child("stages"));
      } else if (stage.child("parallel") != null) {
        parallel(stage.child("parallel"));
      } else {
        call(stage.child("steps"));
      }
    } catch (Ended e) {
      if (!e.result.equals("LOST")) {
        end(e);
        post(stage);
      }
      throw e;
    }
    post(stage);
  }

  /** All branches end, whatever one of them does. */
  private void parallel(Block parallel) {
    Ended first = null;
    trace.add("parallel");
    for (Block branch : parallel.children) {
      try {
        stage(branch);
      } catch (Ended e) {
        first = first == null ? e : first;
      }
    }
    trace.add("joined");
    if (first != null) {
      throw first;
    }
  }

  private void post(Block of) {
    Block post = of.child("post");
    for (Block b : post == null ? List.<Block>of() : post.children) {
      boolean applies = switch (b.kind) {
        case "always", "cleanup" -> true;
        case "success" -> result.equals("SUCCESS");
        case "failure" -> result.equals("FAILURE");
        case "aborted" -> result.equals("ABORTED");
        case "unsuccessful" -> !result.equals("SUCCESS");
        default -> throw new Block.Ungrammatical("these tests do not know post " + b.kind);
      };
      if (applies) {
        trace.add("post " + b.kind);
        call(b);
      }
    }
  }

  private void call(Block block) {
    block.steps.setDelegate(script);
    block.steps.setResolveStrategy(Closure.DELEGATE_ONLY);
    block.steps.call();
  }
}
