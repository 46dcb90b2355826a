"""The rules of the PMML 4.4 schema for what is written: order of children, attributes that must be there,
their values."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

SPACE = "{http://www.dmg.org/PMML-4_4}"
MODELS = (
    "ClusteringModel",
    "MiningModel",
    "NeuralNetwork",
    "RegressionModel",
    "SupportVectorMachineModel",
    "TreeModel",
)
HEAD = ("MiningSchema", "Output", "ModelStats", "ModelExplanation", "Targets", "LocalTransformations")
EXPRESSIONS = ("Constant", "FieldRef", "Apply", "MapValues", "NormDiscrete")
PREDICATES = ("SimplePredicate", "CompoundPredicate", "SimpleSetPredicate", "True", "False")
KERNELS = ("LinearKernelType", "PolynomialKernelType", "RadialBasisKernelType", "SigmoidKernelType")

ORDER: dict[str, tuple[str, ...]] = {
    "PMML": ("Header", "DataDictionary", "TransformationDictionary", *MODELS),
    "Header": ("Extension", "Application", "Annotation", "Timestamp"),
    "DataDictionary": ("DataField",),
    "DataField": ("Interval", "Value"),
    "TransformationDictionary": ("DefineFunction", "DerivedField"),
    "LocalTransformations": ("DerivedField",),
    "DerivedField": (*EXPRESSIONS, "Value"),
    "MiningSchema": ("MiningField",),
    "Output": ("OutputField",),
    "OutputField": EXPRESSIONS,
    "MapValues": ("FieldColumnPair", "InlineTable"),
    "InlineTable": ("row",),
    "RegressionModel": (*HEAD, "RegressionTable", "ModelVerification"),
    "RegressionTable": ("NumericPredictor", "CategoricalPredictor", "PredictorTerm"),
    "TreeModel": (*HEAD, "Node", "ModelVerification"),
    "Node": (*PREDICATES, "Partition", "ScoreDistribution", "Node"),
    "MiningModel": (*HEAD, "Regression", "DecisionTree", "Segmentation", "ModelVerification"),
    "Segmentation": ("Segment",),
    "Segment": (*PREDICATES, *MODELS),
    "SupportVectorMachineModel": (*HEAD, *KERNELS, "VectorDictionary", "SupportVectorMachine", "ModelVerification"),
    "VectorDictionary": ("VectorFields", "VectorInstance"),
    "VectorInstance": ("REAL-SparseArray", "Array"),
    "SupportVectorMachine": ("SupportVectors", "Coefficients"),
    "NeuralNetwork": (*HEAD, "NeuralInputs", "NeuralLayer", "NeuralOutputs", "ModelVerification"),
    "NeuralLayer": ("Neuron",),
    "Neuron": ("Con",),
    "ClusteringModel": (*HEAD, "ComparisonMeasure", "ClusteringField", "MissingValueWeights", "Cluster", "ModelVerification"),
    "Cluster": ("KohonenMap", "Array", "Partition", "Covariances"),
    "ModelVerification": ("VerificationFields", "InlineTable"),
}  # fmt: skip
ONE = {"PMML", "DerivedField", "Segment"}
REQUIRED: dict[str, tuple[str, ...]] = {
    "PMML": ("version",),
    "DataField": ("name", "optype", "dataType"),
    "DerivedField": ("optype", "dataType"),
    "MiningField": ("name",),
    "OutputField": ("name", "dataType"),
    "FieldRef": ("field",),
    "Apply": ("function",),
    "MapValues": ("outputColumn",),
    "FieldColumnPair": ("field", "column"),
    "NormDiscrete": ("field", "value"),
    "RegressionTable": ("intercept",),
    "NumericPredictor": ("name", "coefficient"),
    "Segmentation": ("multipleModelMethod",),
    "SimplePredicate": ("field", "operator"),
    "SimpleSetPredicate": ("field", "booleanOperator"),
    "CompoundPredicate": ("booleanOperator",),
    "Array": ("type",),
    "VectorInstance": ("id",),
    "SupportVector": ("vectorId",),
    "NeuralNetwork": ("functionName", "activationFunction"),
    "NeuralInput": ("id",),
    "NeuralOutput": ("outputNeuron",),
    "Neuron": ("id",),
    "Con": ("from", "weight"),
    "ClusteringModel": ("functionName", "modelClass", "numberOfClusters"),
    "ComparisonMeasure": ("kind",),
    "ClusteringField": ("field",),
    "VerificationField": ("field",),
    **{name: ("functionName",) for name in ("MiningModel", "RegressionModel", "TreeModel", "SupportVectorMachineModel")},
}  # fmt: skip
COUNTS = {
    "numberOfFields": ("DataField", "FieldRef"),
    "numberOfInputs": ("NeuralInput",),
    "numberOfNeurons": ("Neuron",),
    "numberOfOutputs": ("NeuralOutput",),
    "numberOfClusters": ("Cluster",),
    "numberOfLayers": ("NeuralLayer",),
    "numberOfVectors": ("VectorInstance",),
    "numberOfSupportVectors": ("SupportVector",),
    "numberOfCoefficients": ("Coefficient",),
    "recordCount": ("row",),
}
VALUES = {
    "optype": {"continuous", "categorical", "ordinal"},
    "dataType": {"string", "integer", "float", "double", "boolean"},
    "usageType": {"active", "target"},
    "functionName": {"regression", "classification", "clustering"},
}


def assert_valid(path: Path) -> None:
    """The document keeps the rules above, and every name a field is read by stands in it."""
    root = etree.parse(str(path)).getroot()
    assert root.tag == f"{SPACE}PMML"
    for node in root.iter(etree.Element):
        name = node.tag.removeprefix(SPACE)
        lacking = [a for a in REQUIRED.get(name, ()) if a not in node.attrib]
        assert not lacking, f"{name} lacks {lacking}"
        _ordered(name, [c.tag.removeprefix(SPACE) for c in node])
        for attribute, value in node.attrib.items():
            assert value in VALUES.get(attribute, (value,)), f"{name} {attribute}={value!r}"
            if attribute in COUNTS:
                held = [c for c in node.iter() if c.tag.removeprefix(SPACE) in COUNTS[attribute]]
                assert int(value) == len(held), f"{name} {attribute}={value!r}, not {len(held)}"
    _defined(root)


def _ordered(name: str, children: list[str]) -> None:
    if name not in ORDER:
        return
    unknown = set(children) - set(ORDER[name])
    assert not unknown, f"{name} holds {unknown}"
    places = [ORDER[name].index(c) for c in children if c not in EXPRESSIONS]
    assert places == sorted(places) or name == "Node", f"{name} holds {children}"


def _defined(root: etree._Element) -> None:
    names = {
        n.get("name") for n in root.iter(*(SPACE + t for t in ("DataField", "DerivedField", "OutputField")))
    }
    for tag, attribute in (
        ("FieldRef", "field"),
        ("SimplePredicate", "field"),
        ("NumericPredictor", "name"),
        ("MiningField", "name"),
        ("ClusteringField", "field"),
    ):
        for node in root.iter(SPACE + tag):
            assert node.get(attribute) in names, f"{tag} reads {node.get(attribute)!r}, which is nowhere"
