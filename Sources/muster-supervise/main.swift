// muster-supervise TABLE LOGS [--until-end-of-input]: for development and tests; production has systemd.
import Glibc
import Runtime

let arguments = CommandLine.arguments
guard arguments.count >= 3, let text = readFile(arguments[1]) else {
    Log.error("usage: muster-supervise TABLE LOGS [--until-end-of-input]")
    exit(64)
}
do {
    let supervisor = try Supervisor(try Program.table(text), logs: arguments[2])
    supervisor.run(untilEndOfInput: arguments.contains("--until-end-of-input"))
} catch {
    Log.error("cannot supervise", [("reason", .string("\(error)"))])
    exit(71)
}
