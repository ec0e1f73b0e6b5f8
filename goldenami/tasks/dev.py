"""Tasks for this machine and this checkout: doctor, test, docs."""

from __future__ import annotations

from invoke import Context, Exit, task

from goldenami.tasks.runner import ROOT, ContextFactory, command, print_report, print_status, recipe_task


@recipe_task()
def doctor(open_context: ContextFactory, json: bool = False) -> None:
    """Check tools, versions, credentials, permissions, KVM, disk and ports, and print how to fix each problem.

    Exits with 3 if a problem blocks `bake`.
    """
    from goldenami.dev import doctor

    findings = doctor.run_checks(open_context())
    print_report(doctor.report(findings), json=json)
    if any(finding.result == "fail" for finding in findings):
        raise Exit(code=3)


@task(
    help={
        "e2e": "run only tests that boot machines",
        "quick": "skip tests that boot machines",
        "long": "also run the cases that are skipped by default because they take long",
        "k": "run only tests that match",
    }
)
@command
def test(_: Context, e2e: bool = False, quick: bool = False, long: bool = False, k: str = "") -> None:
    """Run the linters and the tests, up to real bakes and promotions on the local cloud."""
    from goldenami.dev import checks

    raise Exit(code=checks.run(ROOT, e2e=e2e, quick=quick, long=long, keyword=k))


@task
@command
def docs(_: Context) -> None:
    """Write the generated docs: the references of the recipe and of the tasks, and the policy of a bake."""
    from goldenami.dev import docs

    for path in docs.write_docs(ROOT):
        print_status(f"wrote {path}")
