// The interface of defenses: what takes a backdoor out of a victim.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cnpd/attacks/attack.h"
#include "cnpd/training/evaluation.h"
#include "cnpd/training/loop.h"
#include "cnpd/training/precision.h"
#include "cnpd/training/run_directory.h"
#include "cnpd/training/settings.h"
#include "datasets/batches.h"
#include "models/classifier.h"

namespace cnpd::defenses {

// What a defense has to work with.
struct DefenseContext {
    const training::DefenseSettings& settings;
    training::RunDirectory& directory;
    models::Classifier& victim;             // in evaluation mode; a defense may change it
    const datasets::BatchSource& clean;     // the defender's images
    const datasets::BatchSource* held_out;  // more of them, to measure; null: none
    const training::TestSets& tests;        // for the scores, and for nothing else
    const attacks::Attack& attack;          // what no defender knows: for the oracles of ablations
    training::TrainingDraws draws;
    training::LoopOptions loop;
};

class Defense {
  public:
    virtual ~Defense() = default;

    // Defends the victim. Leaves in the directory what runs::load_run() reads, model.safetensors
    // and where there is a polarizer polarizer.safetensors; returns the scores and costs of
    // result.json (training/scores.h).
    virtual nlohmann::ordered_json run(const DefenseContext& context) = 0;
};

}  // namespace cnpd::defenses
