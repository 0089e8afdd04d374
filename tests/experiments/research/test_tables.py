# SPDX-License-Identifier: Apache-2.0
"""Tables of research say what the files hold."""

from experiments.four_digits.config import resolve
from experiments.research import tables


def test_a_choice_is_judged_by_candidates_that_differ_in_it_alone():
    def report(**families):
        searched = {name: {"validation_em5": scores} for name, scores in families.items()}
        return {"search": {"families": searched}}

    first = report(
        soft={"a@bce": 0.30, "a@rows": 0.32, "b@bce": 0.40, "b@rows": 0.36, "c@bce": 0.9},
        ours={"l@likelihood": 0.5, "l@likelihood+noise_scales": 0.53, "l@trace": 0.1},
    )
    lines = tables.choices({9: first, 15: report(soft={"a@bce": 0.2, "a@rows": 0.3})}).splitlines()
    assert lines[2:] == [
        "| cross-entropy of rows instead of bce | 9 | 1 of 2 | -1.0 ± 3.0 |",
        "| cross-entropy of rows instead of bce | 15 | 1 of 1 | +10.0 |",
        "| noise scales | 9 | 1 of 1 | +3.0 |",
    ]


def test_order_quality_is_over_seeds():
    config = {"hidden_size": 32, "steps": 400, "lengths": [4, 16], "test_lists": 8, "n": 64}
    records = [
        {"inputs": "clrs", "algorithm": "bubble_sort", "seed": seed, "micro_f1": score}
        for seed, score in enumerate((0.9, 1.0))
    ]
    text = tables.order_quality({"config": config, "records": records})
    assert "| bubble sort | keys, as in CLRS | 95.0 ± 7.1 | 90.0 | 2 |" in text
    assert "lists of 4, 16 keys; test on 8 lists of 64" in text


def test_steadiness_is_of_both_weights():
    scores = {"n_choice": [0.2, 0.9, 0.8], "n": [0.1, 0.5, 0.7]}
    config = {
        "algorithm": "insertion_sort",
        "inputs": "clrs",
        "hidden_size": 32,
        "steps": 3,
        "lengths": [4, 8],
        "every": 1,
        "test_lists": 8,
        "n": 32,
        "n_choice": 16,
        "seeds": 1,
    }
    records = [{"kind": "default", "last": scores, "average": scores}]
    text = tables.steadiness({"config": config, "records": records})
    assert "| last | default | 70.0 | 50.0 | 20.0 |" in text
    assert "Insertion sort, keys, as in CLRS" in text and "best step for n = 16" in text


def test_a_quick_search_is_ranked():
    config = {"n": 9, "steps": 3000, "batch_size": 10, "seeds": 2, "learning_rate": 2e-3}
    config |= {"dataset": "mnist", "test_lists": 100}
    records = [
        {"method": name, "em": em, "ew": [0.6, 0.6], "seconds": 3.2}
        for name, em in (("a@bce", [0.1, 0.2]), ("b@rows", [0.2, 0.2]))
    ]
    lines = tables.quick_search({"config": config, "records": records}, "found").splitlines()
    assert lines[0] == "n = 9, 3,000 steps of 10 lists, 2 seeds, learning rate 0.002:"
    assert lines[4:6] == [
        "| `b@rows` | 20.0 ± 0.0 | 60.0 ± 0.0 | 3 |",
        "| `a@bce` | 15.0 ± 7.1 | 60.0 ± 0.0 | 3 |",
    ]
    assert "  --n=9 \\" in lines and "  --test_lists=100 \\" in lines
    assert lines[-3:] == ["  --methods=a@bce,b@rows \\", "  --out=runs/found.json", "```"]


def test_a_quick_search_says_what_was_asked_besides():
    record = {"method": "a@bce", "em": [0.1, 0.2], "ew": [0.6, 0.6], "seconds": 3.2}
    config = {"n": 9, "steps": 3000, "batch_size": 10, "learning_rate": 0.002, "seeds": 2}
    config |= {"dataset": "mnist", "test_lists": 2000}
    report = {"config": {**config, "anneal": 10.0}, "records": [record]}
    text = tables.quick_search(report, "found")
    assert "learning rate 0.002, temperatures from 10 times their own:" in text
    assert "  --anneal=10.0 \\" in text.splitlines()


def test_quick_searches_stand_side_by_side_by_their_best_n():
    def report(n, **found):
        records = [{"method": name, "em": em} for name, em in found.items()]
        return {"config": {"n": n}, "records": records}

    text = tables.quick_search_in_short(
        [report(5, a=[0.3, 0.3]), report(9, b=[0.4, 0.4], a=[0.1, 0.2])]
    )
    assert text.splitlines() == [
        "| method | n = 5 | n = 9 |",
        "| --- | --- | --- |",
        "| `b` | - | 40.0 ± 0.0 |",
        "| `a` | 30.0 ± 0.0 | 15.0 ± 7.1 |",
    ]


def test_variants_are_compared_on_their_longest_lists():
    def distance(n, spread, pointers):
        learned = {"steps": {"divergence": 0.2}, "run": {"divergence": 0.3}}
        learned["two_ended"] = {"divergence": 0.1}
        return {"n": n, "spread": spread, "pointers": pointers, "learned": learned}

    record = {
        "ablation": "no_hints",
        "scores": {"exact_order": {"3": 1.0, "9": 0.97}},
        "distances": [distance(3, 1.0, 0.9), distance(9, 1.0, 0.01), distance(9, 10.0, 0.02)],
    }
    config = {"noise": "cauchy", "lengths": [3, 9], "steps": 3000, "seed": 0}
    lines = tables.ablations({"config": config, "records": [record]}).splitlines()
    assert lines[0].startswith("Insertion sort, Cauchy noise, 3,000 steps of lists of 3, 9 keys")
    assert lines[2] == "| changed | spread 1 | spread 10 | exact order % |"
    assert lines[4] == "| no hints | 0.010, 0.200, 0.100 | 0.020, 0.200, 0.100 | 97.0 |"


def test_choices_are_compared_over_seeds():
    def report(seed, distance):
        rows = [
            {"n": n, "spread": 10.0, "permutation": distance if n == 9 else 5.0} for n in (5, 9)
        ]
        records = [
            {"ablation": name, "scores": {"exact_order": {"9": 0.9}}, "distances": rows}
            for name in ("default", "hidden_128")
        ]
        config = {"noise": "gaussian", "lengths": [5, 9], "steps": 1000, "seed": seed}
        measured = {"hidden_size": 32, "measured": {"spreads": [10.0]}}
        return {"config": config | measured, "records": records}

    reports = [report(0, 0.2), report(1, 0.3), report(2, 0.4)]
    reports[2]["records"].pop()
    lines = tables.network_choices(reports).splitlines()
    assert "hidden size 32, 1,000 steps of lists of 5, 9 keys; at n = 9" in lines[0]
    assert lines[2] == "| network | spread 10 | exact order % | seeds |"
    assert lines[4] == "| as it is | 0.300 ± 0.100 | 90.0 ± 0.0 | 3 |"
    assert lines[5] == "| hidden 128 | 0.250 ± 0.071 | 90.0 ± 0.0 | 2 |"


def test_sorts_on_one_processor_stand_beside_those_alone():
    def distance(algorithm, n, pointers):
        two_ended = {"two_ended": {"divergence": 0.3}}
        learned = {"run": {"divergence": 0.1}, **two_ended} if "bubble" in algorithm else two_ended
        return {"algorithm": algorithm, "n": n, "pointers": pointers, "learned": learned}

    def record(kind, pointers):
        rows = [
            distance(name, n, pointers) for name in ("quicksort", "bubble_sort") for n in (3, 9)
        ]
        return {"kind": kind, "distances": rows}

    config = {"noise": "cauchy", "lengths": [3, 9], "steps": 2000, "seed": 0}
    report = {
        "config": {**config, "measured": {"spreads": [10.0]}},
        "records": [record("separate", 0.2), record("shared", 0.1)],
    }
    lines = tables.multi_task(report).splitlines()
    assert lines[0].startswith("Cauchy noise, 2,000 steps of each sort, lists of 3, 9 keys, seed 0")
    assert lines[2] == "| sort | processor | spread 10 |"
    assert lines[4:] == [
        "| bubble sort | separate | 0.200, 0.100 |",
        "| bubble sort | shared | 0.100, 0.100 |",
        "| quicksort | separate | 0.200, 0.300 |",
        "| quicksort | shared | 0.100, 0.300 |",
    ]


def test_teaching_has_each_length_in_turn_and_losses_without_weights():
    def row(n, first):
        return {
            "n": n,
            "shares": [{"share": 0.0, "alignment": first}, {"share": 1, "alignment": 1}],
        }

    report = {
        "config": {"lists": 2000, "spread": 2.0, "truth": "cauchy_likelihood", "lengths": [5, 9]},
        "records": [
            {**row(5, 0.5), "method": "a@bce", "calibration": {"error": 0.031}},
            {**row(5, 0.4), "method": "loss:pairwise"},
            {**row(9, 0.3), "method": "a@bce", "calibration": {"error": 0.02}},
            {**row(9, 0.2), "method": "loss:pairwise"},
        ],
    }
    text = tables.gradient_quality(report)
    assert "scores with Cauchy noise" in text and "n = 5 / 9:" in text
    assert "| `a@bce` | 3.1 / 2.0 | 0.50 / 0.30 | 1.00 / 1.00 |" in text
    assert "| `loss:pairwise` | - | 0.40 / 0.20 | 1.00 / 1.00 |" in text


def identity(spec):
    _, (method,) = resolve({"operators": [spec], "n": 5})
    return method.identity


def test_teachers_are_ranked_where_both_are_known():
    def contest(**found):
        rows = [
            {"operator": spec, "seeds": 1, "em": {"mean": em, "sd": None}}
            for spec, em in found.values()
        ]
        families = {name: {"chosen": spec} for name, (spec, _) in found.items()}
        methods = {spec: identity(spec) for spec, _ in found.values()}
        return {"summary": rows, "search": {"families": families}, "methods": methods}

    measured = {
        "odd_even@bce": 0.6,
        "odd_even@rows": 0.1,
        "odd_even:distribution=optimal@rows": 0.5,
        "odd_even:error_free=true,distribution=optimal@error_free": 0.2,
        "neuralsort@bce": 0.7,
        "sinkhorn@bce": 0.8,
        "loss:pairwise": 0.4,
        "loss:cauchy_pairs": 0.9,
    }
    records = [
        {"identity": identity(method), "n": 9, "shares": [{"alignment": cosine}]}
        for method, cosine in measured.items()
    ]
    ran = contest(
        cauchy=("odd_even:temperature=0.3@bce", 0.2),
        optimal=("odd_even:distribution=optimal,temperature=0.1@rows", 0.3),
        logistic=("odd_even:distribution=logistic,temperature=0.1@rows", 0.9),  # not measured
        error_free=(
            "odd_even:distribution=optimal,error_free=true,temperature=0.1@error_free",
            0.5,  # the order of settings is not the same
        ),
        neuralsort=("neuralsort:temperature=5.0@bce", 0.1),
        sinkhorn=("sinkhorn:temperature=0.1@bce", 0.05),
        pairwise=("loss:pairwise/1.0", 0.4),
        cauchy_pairs=("loss:cauchy_pairs/0.1+noise_scales", 0.3),  # noise scales are not measured
    )
    few = contest(cauchy=("odd_even:temperature=0.3@bce", 0.2))
    lines = tables.teachers({"records": records}, {9: ran, 15: few}).splitlines()
    assert lines == [
        "| cosine at 0, EM % | n = 9 |",
        "| --- | --- |",
        "| Cauchy network | 0.60, 20.0 |",
        "| optimal network | 0.50, 30.0 |",
        "| error-free network | 0.20, 50.0 |",
        "| NeuralSort | 0.70, 10.0 |",
        "| Sinkhorn | 0.80, 5.0 |",
        "| pairwise logistic | 0.40, 40.0 |",
        "| *rank correlation* | -1.00 of 6 |",
    ]
    assert "| *rank correlation* | - |" in tables.teachers({"records": records}, {9: few})


def test_noise_scales_are_compared_at_their_best():
    families = {
        "learned": {"l@likelihood+noise_scales": 0.6, "l@likelihood": 0.5, "l@trace": 0.55},
        "cauchy": {"a@bce": 0.4, "a@rows": 0.45},
        "lapsum": {"b@bce": 0.47},
        "cauchy_likelihood": {"loss:cauchy_likelihood/0.1+noise_scales": 0.7},
    }
    searched = {name: {"validation_em5": scores} for name, scores in families.items()}
    lines = tables.noise_scales({9: {"search": {"families": searched}}}).splitlines()
    assert lines[2:] == [
        "| executed sort, with noise scales | 60.0 |",
        "| executed sort, without | 55.0 |",
        "| Cauchy network, with noise scales | - |",
        "| best sort of others, without | 47.0 |",
        "| exact Cauchy likelihood, with noise scales | 70.0 |",
        "| exact Cauchy likelihood, without | - |",
    ]
    families["amortized"] = {"m@bce+noise_scales": 0.8}
    searched = {name: {"validation_em5": scores} for name, scores in families.items()}
    lines = tables.noise_scales({9: {"search": {"families": searched}}}).splitlines()
    assert lines[2:4] == [
        "| amortised sort, with noise scales | 80.0 |",
        "| amortised sort, without | - |",
    ]
    assert lines[7] == "| best sort of others, without | 47.0 |"
